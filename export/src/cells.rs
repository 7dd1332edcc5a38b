//! Values from MessagePack tokens into Arrow arrays, one tree of builders for each top-level column.
//!
//! A builder that was not written in a row catches up with nulls when it is written next, so a record costs what it
//! holds, not what the table has columns.

use crate::forced;
use crate::keys::Keys;
use crate::rows::Extra;
use crate::schema::{Column, ColumnType, META_NAME, timestamp_type};
use annals::msgpack::{MsgPackError, Reader, Token};
use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, GenericByteArray, GenericByteBuilder, Int64Builder,
    ListArray, NullBufferBuilder, StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{ByteArrayType, DataType, Field};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Why a value could not be written.
#[derive(Debug)]
pub(crate) enum CellError {
    Body(MsgPackError),
    /// The plan has no place for the value at this path.
    DoesNotFit(String),
}

impl From<MsgPackError> for CellError {
    fn from(error: MsgPackError) -> Self {
        Self::Body(error)
    }
}

/// The cells of one column since the last [`Cells::take`].
#[derive(Debug)]
pub(crate) struct Cells {
    field: Arc<Field>,
    /// Keys from the top; `None` is the element of a list.
    path: Vec<Option<String>>,
    forced: bool,
    builder: Builder,
    len: usize,
    pub(crate) counts: Counts,
}

/// What a report says of a column.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Cells that are not NULL.
    pub(crate) values: u64,
    /// All cells, those of finished arrays only.
    pub(crate) cells: u64,
    /// Values that did not fit a forced type and went to `_extra`.
    pub(crate) misfits: u64,
}

#[derive(Debug)]
enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    String(StringBuilder),
    Binary(BinaryBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Json(StringBuilder, Vec<u8>),
    List { offsets: Vec<i32>, valid: NullBufferBuilder, element: Box<Cells> },
    Struct { keys: Keys, valid: NullBufferBuilder, fields: Vec<Cells> },
}

impl Cells {
    /// The empty column. `field` is its Arrow field, `above` the path of what it is part of.
    pub(crate) fn new(column: &Column, field: &Arc<Field>, above: &[Option<String>]) -> Self {
        // The empty key always has another name, so only an element has neither key nor original name.
        let is_element = column.key.is_empty() && !field.metadata().contains_key(META_NAME);
        let mut path = above.to_vec();
        path.push((!is_element).then(|| column.key.clone()));
        let builder = match (&column.column_type, field.data_type()) {
            (ColumnType::Bool, _) => Builder::Bool(BooleanBuilder::new()),
            (ColumnType::Int, _) => Builder::Int(Int64Builder::new()),
            (ColumnType::Float, _) => Builder::Float(Float64Builder::new()),
            (ColumnType::String, _) => Builder::String(StringBuilder::with_capacity(0, 0)),
            (ColumnType::Binary, _) => Builder::Binary(BinaryBuilder::with_capacity(0, 0)),
            (ColumnType::Timestamp, _) => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(timestamp_type()))
            }
            (ColumnType::List(element), DataType::List(inner)) => Builder::List {
                offsets: vec![0],
                valid: NullBufferBuilder::new(0),
                element: Box::new(Cells::new(element, inner, &path)),
            },
            (ColumnType::Struct(columns), DataType::Struct(inner)) => Builder::Struct {
                keys: Keys::new(columns.iter().map(|column| column.key.as_str())),
                valid: NullBufferBuilder::new(0),
                fields: columns.iter().zip(inner).map(|(column, field)| Cells::new(column, field, &path)).collect(),
            },
            _ => Builder::Json(StringBuilder::with_capacity(0, 0), Vec::new()),
        };
        Self { field: field.clone(), path, forced: column.forced, builder, len: 0, counts: Counts::default() }
    }

    /// How many cells there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The key in the records; `None` for the element of a list.
    pub(crate) fn key(&self) -> Option<String> {
        self.path.last().cloned().flatten()
    }

    /// The cells of fields or elements.
    pub(crate) fn children(&self) -> &[Cells] {
        match &self.builder {
            Builder::List { element, .. } => std::slice::from_ref(element),
            Builder::Struct { fields, .. } => fields,
            _ => &[],
        }
    }

    /// Writes the next value of `reader` as cell number `row`; cells before it that are missing become NULL.
    pub(crate) fn put(&mut self, row: usize, reader: &mut Reader<'_>, extra: &mut Extra) -> Result<(), CellError> {
        self.pad(row);
        let at_value = reader.clone();
        if let Builder::Json(builder, text) = &mut self.builder {
            text.clear();
            annals::json::to_json(reader.skip_value()?, text)?;
            builder.append_value(std::str::from_utf8(text).map_err(|_| MsgPackError::NotUtf8 { offset: 0 })?);
            self.count();
            return Ok(());
        }
        match (&mut self.builder, reader.token()?) {
            (_, Token::Nil) => {
                self.pad(row + 1);
                return Ok(());
            }
            (Builder::Bool(builder), Token::Bool(value)) => builder.append_value(value),
            (Builder::Int(builder), Token::Int(value)) => builder.append_value(value),
            (Builder::Int(builder), Token::UInt(value)) if i64::try_from(value).is_ok() => {
                builder.append_value(value as i64);
            }
            (Builder::Float(builder), Token::F64(value)) => builder.append_value(value),
            (Builder::Float(builder), Token::F32(value)) => builder.append_value(value.into()),
            (Builder::Float(builder), Token::UInt(value)) if exact_as_f64(value) => builder.append_value(value as f64),
            (Builder::Float(builder), Token::Int(value)) if exact_as_f64(value.unsigned_abs()) => {
                builder.append_value(value as f64);
            }
            (Builder::String(builder), Token::Str(text)) => builder.append_value(text),
            (Builder::Binary(builder), Token::Bin(bytes)) => builder.append_value(bytes),
            (Builder::Timestamp(builder), Token::Str(text)) => match forced::timestamp_us(text) {
                Some(timestamp_us) => builder.append_value(timestamp_us),
                None => return self.misfit(at_value, reader, extra),
            },
            (Builder::List { offsets, valid, element }, Token::Array(count)) => {
                for _ in 0..count {
                    element.put(element.len, reader, extra)?;
                }
                offsets.push(offset(element.len)?);
                valid.append_non_null();
            }
            (Builder::Struct { keys, valid, fields }, Token::Map(count)) => {
                put_fields(count, keys, fields, row, reader, extra).map_err(|error| error.below(&self.path))?;
                valid.append_non_null();
            }
            _ => return self.misfit(at_value, reader, extra),
        }
        self.count();
        Ok(())
    }

    /// Appends NULLs until there are `len` cells.
    pub(crate) fn pad(&mut self, len: usize) {
        let missing = len.saturating_sub(self.len);
        if missing == 0 {
            return;
        }
        self.len = len;
        match &mut self.builder {
            Builder::Bool(builder) => builder.append_nulls(missing),
            Builder::Int(builder) => builder.append_nulls(missing),
            Builder::Float(builder) => builder.append_nulls(missing),
            Builder::Timestamp(builder) => builder.append_nulls(missing),
            Builder::String(builder) | Builder::Json(builder, _) => builder.append_nulls(missing),
            Builder::Binary(builder) => builder.append_nulls(missing),
            Builder::List { offsets, valid, .. } => {
                let end = offsets.last().copied().unwrap_or_default();
                offsets.resize(offsets.len() + missing, end);
                valid.append_n_nulls(missing);
            }
            Builder::Struct { valid, .. } => valid.append_n_nulls(missing),
        }
    }

    /// The array of the first `len` cells; begins anew.
    pub(crate) fn take(&mut self, len: usize) -> Result<ArrayRef, ArrowError> {
        self.pad(len);
        self.counts.cells += len as u64;
        self.len = 0;
        Ok(match &mut self.builder {
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Int(builder) => Arc::new(builder.finish()),
            Builder::Float(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish()),
            Builder::String(builder) | Builder::Json(builder, _) => Arc::new(finish(builder)),
            Builder::Binary(builder) => Arc::new(finish(builder)),
            Builder::List { offsets, valid, element } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                let elements = element.take(element.len)?;
                Arc::new(ListArray::try_new(element.field.clone(), offsets, elements, take_valid(valid))?)
            }
            Builder::Struct { valid, fields, .. } => {
                let inner = fields.iter().map(|cells| cells.field.clone()).collect();
                let arrays = fields.iter_mut().map(|cells| cells.take(len)).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new(inner, arrays, take_valid(valid))?)
            }
        })
    }

    fn count(&mut self) {
        self.len += 1;
        self.counts.values += 1;
    }

    /// A value of another type: to `_extra` if the caller forced the type, else an error.
    fn misfit<'a>(
        &mut self,
        at_value: Reader<'a>,
        reader: &mut Reader<'a>,
        extra: &mut Extra,
    ) -> Result<(), CellError> {
        *reader = at_value;
        let value = reader.skip_value()?;
        if !self.forced {
            return Err(CellError::DoesNotFit(pointer(&self.path)));
        }
        extra.push_path(&self.path, value)?;
        self.counts.misfits += 1;
        self.pad(self.len + 1);
        Ok(())
    }
}

fn put_fields(
    count: u32,
    keys: &mut Keys,
    fields: &mut [Cells],
    row: usize,
    reader: &mut Reader<'_>,
    extra: &mut Extra,
) -> Result<(), CellError> {
    keys.rewind();
    for _ in 0..count {
        let found = match keys.skip_next(reader) {
            Some(at) => at,
            None => match reader.token()? {
                Token::Str(key) => keys.find(key).ok_or_else(|| no_field(key))?,
                _ => return Err(CellError::DoesNotFit(String::new())),
            },
        };
        let cells = &mut fields[found];
        if cells.len > row {
            return Err(no_field(keys.name(found)));
        }
        cells.put(row, reader, extra)?;
    }
    Ok(())
}

/// There is no place for a second value of `key`, or for any.
fn no_field(key: &str) -> CellError {
    CellError::DoesNotFit(format!("/{}", escaped(key)))
}

impl CellError {
    /// A path that was relative becomes absolute; those from further down already are.
    fn below(self, path: &[Option<String>]) -> Self {
        let above = pointer(path);
        match self {
            Self::DoesNotFit(relative) if !relative.starts_with(&above) => Self::DoesNotFit(above + &relative),
            other => other,
        }
    }
}

/// The array; the builder is as large as it was, since the next batch is likely to be like this one.
fn finish<T: ByteArrayType>(builder: &mut GenericByteBuilder<T>) -> GenericByteArray<T> {
    let bytes = builder.values_slice().len();
    let array = builder.finish();
    *builder = GenericByteBuilder::with_capacity(array.len(), bytes + bytes / 16);
    array
}

fn take_valid(valid: &mut NullBufferBuilder) -> Option<NullBuffer> {
    std::mem::replace(valid, NullBufferBuilder::new(0)).build()
}

/// Arrow lists count in `i32`; a batch ends long before.
fn offset(len: usize) -> Result<i32, CellError> {
    i32::try_from(len).map_err(|_| CellError::DoesNotFit("a list of 2^31 elements".to_owned()))
}

/// Whether converting to `f64` and back gives the same integer.
fn exact_as_f64(magnitude: u64) -> bool {
    magnitude == 0 || 64 - magnitude.leading_zeros() - magnitude.trailing_zeros() <= f64::MANTISSA_DIGITS
}

/// A path as a JSON Pointer; the element of a list is `[]`.
pub(crate) fn pointer(path: &[Option<String>]) -> String {
    let step = |key: &Option<String>| key.as_ref().map_or("/[]".to_owned(), |key| format!("/{}", escaped(key)));
    path.iter().map(step).collect()
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
