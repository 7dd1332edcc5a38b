//! How each column of a row group is encoded, by a look at the first batch of it.
//!
//! What was measured: values that don't come again fill a dictionary for nothing, and are smaller and faster without one.
//! zstd at level 1 packs short values as well as at level 3 in a third of the time, and random hex digits better. Long
//! texts are mostly like the one before: without the prefix they share with it, at a higher level and in pages that hold
//! many of them, they take two thirds of the bytes.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::SchemaDescriptor;
use std::collections::HashSet;
use std::hash::Hash;

/// Fewer values tell nothing.
const VALUES_MIN: usize = 512;
/// Nor do fewer different ones.
const DISTINCT_MIN: usize = 64;
/// No dictionary if fewer than one in so many was there before.
const REPEATS_MIN: usize = 16;
/// Values of so many bytes on average are long texts.
const LONG_BYTES: usize = 256;
/// Most bytes of a page of long texts.
const LONG_PAGE_BYTES: usize = 3 << 20;
/// The level of zstd for long texts, and for all else.
const LONG_LEVEL: i32 = 5;
const SHORT_LEVEL: i32 = 1;

/// The levels of zstd.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    short: ZstdLevel,
    long: ZstdLevel,
}

impl Levels {
    /// The wanted one for all columns, or those that were measured to be good.
    pub(crate) fn new(wanted: Option<i32>) -> Result<Self> {
        let level = |measured| ZstdLevel::try_new(wanted.unwrap_or(measured));
        Ok(Self { short: level(SHORT_LEVEL)?, long: level(LONG_LEVEL)? })
    }
}

/// `base` with what suits the columns of `first`, whose leaves are those of `schema`.
pub(crate) fn fitting(
    base: &WriterProperties,
    levels: Levels,
    schema: &SchemaDescriptor,
    first: &RecordBatch,
) -> WriterProperties {
    let mut leaves = Vec::new();
    first.columns().iter().for_each(|column| collect_leaves(column, &mut leaves));
    let mut properties = base.clone().into_builder();
    for (column, leaf) in schema.columns().iter().zip(leaves) {
        let (path, sample) = (column.path(), Sample::of(leaf));
        if sample.hardly_repeats {
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
        }
        if sample.is_long {
            properties = properties.set_column_data_page_size_limit(path.clone(), LONG_PAGE_BYTES);
        }
        if let Some(encoding) = encoding(leaf.data_type(), sample.is_long) {
            properties = properties.set_column_encoding(path.clone(), encoding);
        }
        let level = if sample.is_long { levels.long } else { levels.short };
        properties = properties.set_column_compression(path.clone(), Compression::ZSTD(level));
    }
    properties.build()
}

/// What takes the place of a dictionary, if not the plain values.
fn encoding(data_type: &DataType, is_long: bool) -> Option<Encoding> {
    match data_type {
        DataType::Int64 | DataType::Timestamp(..) => Some(Encoding::DELTA_BINARY_PACKED),
        DataType::Utf8 | DataType::Binary if is_long => Some(Encoding::DELTA_BYTE_ARRAY),
        DataType::Utf8 | DataType::Binary => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        _ => None,
    }
}

/// The leaves in the order of Parquet's.
fn collect_leaves<'a>(array: &'a ArrayRef, leaves: &mut Vec<&'a ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|field| collect_leaves(field, leaves)),
        DataType::List(_) => collect_leaves(array.as_list::<i32>().values(), leaves),
        _ => leaves.push(array),
    }
}

/// What the first values of a column are like.
#[derive(Debug, Default)]
struct Sample {
    hardly_repeats: bool,
    is_long: bool,
}

impl Sample {
    fn of(array: &ArrayRef) -> Self {
        let count = array.len() - array.null_count();
        let of_bytes =
            |bytes: usize, hardly_repeats| Self { hardly_repeats, is_long: bytes / LONG_BYTES >= count.max(1) };
        let of_numbers = |hardly_repeats| Self { hardly_repeats, is_long: false };
        match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                of_bytes(texts.value_data().len(), hardly_repeat(texts.iter().flatten(), count))
            }
            DataType::Binary => {
                let values = array.as_binary::<i32>();
                of_bytes(values.value_data().len(), hardly_repeat(values.iter().flatten(), count))
            }
            DataType::Int64 => of_numbers(hardly_repeat(array.as_primitive::<Int64Type>().iter().flatten(), count)),
            DataType::Timestamp(..) => {
                of_numbers(hardly_repeat(array.as_primitive::<TimestampMicrosecondType>().iter().flatten(), count))
            }
            DataType::Float64 => {
                let floats = array.as_primitive::<Float64Type>();
                of_numbers(hardly_repeat(floats.iter().flatten().map(f64::to_bits), count))
            }
            _ => Self::default(),
        }
    }
}

/// Whether the second half of the values is new: hardly any of them was there before, nor are they the same few.
fn hardly_repeat<T: Hash + Eq>(values: impl Iterator<Item = T>, count: usize) -> bool {
    if count < VALUES_MIN {
        return false;
    }
    let (mut before, mut after) = (HashSet::new(), HashSet::new());
    for (n, value) in values.enumerate() {
        let half = if n < count / 2 { &mut before } else { &mut after };
        half.insert(value);
    }
    let repeated = after.intersection(&before).count();
    after.len() >= DISTINCT_MIN && repeated < after.len() / REPEATS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn sample(array: impl Array + 'static) -> (bool, bool) {
        let sample = Sample::of(&(Arc::new(array) as ArrayRef));
        (sample.hardly_repeats, sample.is_long)
    }

    #[test]
    fn ids_numbers_and_texts_are_told_apart() {
        let texts = |text: fn(usize) -> String| sample(StringArray::from_iter_values((0..4096).map(text)));
        assert_eq!(texts(|i| format!("id {i}")), (true, false));
        assert_eq!(texts(|i| format!("kind {}", i % 50)), (false, false));
        assert_eq!(texts(|i| format!("{i}{}", "x".repeat(300))), (true, true));
        assert_eq!(texts(|_| "x".repeat(300)), (false, true));
        assert_eq!(sample(Int64Array::from_iter_values(0..4096)), (true, false));
        // Times come again at once, and then never.
        assert_eq!(sample(Int64Array::from_iter_values((0..4096).map(|i| i / 3))), (true, false));
        assert_eq!(sample(Int64Array::from_iter_values((0..4096).map(|i| i * 31 % 5000))), (true, false));
        assert_eq!(sample(Int64Array::from_iter_values((0..4096).map(|i| i * 31 % 3000))), (false, false));
    }

    #[test]
    fn few_values_tell_nothing() {
        assert_eq!(sample(Int64Array::from_iter_values(0..100)), (false, false));
        assert_eq!(sample(Int64Array::from_iter((0..4096).map(|i| (i % 64 == 0).then_some(i)))), (false, false));
        assert_eq!(sample(StringArray::from_iter_values([""; 0])), (false, false));
    }
}
