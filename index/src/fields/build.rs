//! Making a field index.

use super::bits::width;
use super::list::{self, ListId};
use super::page::{self, PageId, Widths};
use super::{
    DIRECTORY_BYTES_MAX, DIRECTORY_FIELD, FIELDS_MAX, Field, FieldsBinding, HIGH_BITS, LIST_ALIGN, LIST_MIN,
    PAGE_BYTES_MAX, PAGE_ENTRIES, checksum, fields_header, place,
};
use crate::header::{FileHeader, HEADER_BYTES};
use crate::segment::IndexError;

/// A field of so many records may have [`POSTINGS_EACH`] values each, and these besides.
const POSTINGS_FREE: usize = 1 << 20;
const POSTINGS_EACH: usize = 4;

/// Bits of an entry's value and the stored part of its fingerprint together: with those that its place tells, 4 bytes.
const ENTRY_BITS: u32 = 29;

/// A hash, in halves, and a record that has its value: 12 bytes, in the order of the hash.
type Posting = (u32, u32, u32);

/// Collects the values of a segment's records and makes its field index. Holds 12 bytes for each value of an indexed field.
#[derive(Debug)]
pub struct FieldsBuilder {
    fields: Vec<Collected>,
    records: u32,
}

#[derive(Debug)]
struct Collected {
    path: Vec<String>,
    /// `None` if there were too many.
    postings: Option<Vec<Posting>>,
}

impl FieldsBuilder {
    /// Begins an index of the fields at `paths`, at most [`FIELDS_MAX`].
    pub fn new(paths: impl IntoIterator<Item = Vec<String>>) -> Self {
        let collected = |path| Collected { path, postings: Some(Vec::new()) };
        Self { fields: paths.into_iter().take(FIELDS_MAX).map(collected).collect(), records: 0 }
    }

    /// Begins the next record.
    pub fn begin_record(&mut self) {
        self.records = self.records.saturating_add(1);
    }

    /// Adds a value of the record that was begun last, by the hash of its term. A field with more values than memory is set
    /// aside for (a million, and four for each record) is left out of the index.
    pub fn push(&mut self, field: usize, hash: u64) {
        let Some(Collected { postings: slot, .. }) = self.fields.get_mut(field) else { return };
        let Some(postings) = slot else { return };
        let posting = ((hash >> 32) as u32, hash as u32, self.records.saturating_sub(1));
        if postings.last() == Some(&posting) {
            return;
        }
        match postings.len() < POSTINGS_FREE + POSTINGS_EACH * self.records as usize {
            true => postings.push(posting),
            false => *slot = None,
        }
    }

    /// The bytes of the index file of `binding`. Of `header`, the file id, the compatible features and the time of creation
    /// are used.
    ///
    /// # Errors
    /// [`IndexError::Unindexable`] if the records are not as many as the segment has, or more than an index tells apart.
    pub fn finish(self, header: &FileHeader, binding: &FieldsBinding) -> Result<Vec<u8>, IndexError> {
        let unindexable = |what| Err(IndexError::Unindexable { what });
        if self.records != binding.records {
            return unindexable("another number of records than the segment has");
        }
        if self.records > crate::segment::RECORDS_MAX {
            return unindexable("more records than an index tells apart");
        }
        let salt = crc32fast::hash(&header.file_id);
        let mut fields = Vec::with_capacity(self.fields.len());
        let mut bodies = Vec::with_capacity(self.fields.len());
        for (number, collected) in self.fields.into_iter().enumerate() {
            let entries = match collected.postings {
                Some(postings) => encode(salt, number as u32, postings, self.records)?,
                None => Encoded::default(),
            };
            fields.push(Field {
                path: collected.path,
                value_bits: entries.widths.map_or(0, |widths| widths.value),
                low_bits: entries.widths.map_or(0, |widths| widths.low),
                pages_at: 0,
                pages: entries.page_offsets,
                lists_len: entries.lists.len() as u64,
            });
            bodies.push((entries.pages, entries.lists));
        }
        let directory_len = directory(&fields).len() + CRC_BYTES;
        if directory_len > DIRECTORY_BYTES_MAX {
            return unindexable("more values than a directory has room for");
        }
        let mut at = (HEADER_BYTES + directory_len) as u64;
        for field in &mut fields {
            field.pages_at = at.next_multiple_of(LIST_ALIGN);
            at = field.lists_at() + field.lists_len;
        }
        let header = fields_header(header, binding, directory_len as u32);
        let mut out = Vec::with_capacity(at as usize);
        out.extend(header.encode());
        let directory = directory(&fields);
        let crc = checksum(salt, DIRECTORY_FIELD, 0, &[&directory]);
        out.extend(directory);
        out.extend(crc.to_le_bytes());
        for (field, (pages, lists)) in fields.iter().zip(bodies) {
            out.resize(field.pages_at as usize, 0);
            out.extend(pages);
            out.resize(field.lists_at() as usize, 0);
            out.extend(lists);
        }
        Ok(out)
    }
}

pub(super) const CRC_BYTES: usize = 4;

/// The directory without its checksum.
fn directory(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((fields.len() as u32).to_le_bytes());
    for field in fields {
        out.push(field.path.len() as u8);
        for key in &field.path {
            out.extend((key.len() as u16).to_le_bytes());
            out.extend(key.as_bytes());
        }
        out.extend([field.value_bits as u8, field.low_bits as u8]);
        out.extend(field.pages_at.to_le_bytes());
        out.extend(field.lists_len.to_le_bytes());
        out.extend((field.pages.len() as u32).to_le_bytes());
        field.pages.iter().for_each(|offset| out.extend(offset.to_le_bytes()));
    }
    out
}

#[derive(Default)]
struct Encoded {
    widths: Option<Widths>,
    page_offsets: Vec<u32>,
    pages: Vec<u8>,
    lists: Vec<u8>,
}

/// The pages and lists of one field; none if hashes crowd in one page, and so the field is left out.
fn encode(salt: u32, field: u32, mut postings: Vec<Posting>, records: u32) -> Result<Encoded, IndexError> {
    let too_long = IndexError::Unindexable { what: "lists that are too long" };
    postings.sort_unstable();
    postings.dedup();
    // Entries: a hash, and a record or a list.
    let mut entries: Vec<(u64, u32)> = Vec::new();
    let mut lists = Vec::new();
    let mut own = Vec::new();
    for group in postings.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let hash = u64::from(group[0].0) << 32 | u64::from(group[0].1);
        if group.len() < LIST_MIN {
            entries.extend(group.iter().map(|posting| (hash, posting.2)));
            continue;
        }
        own.clear();
        own.extend(group.iter().map(|posting| posting.2));
        let offset = lists.len() as u64;
        let value = u32::try_from(u64::from(records) + offset / LIST_ALIGN).map_err(|_| too_long.clone())?;
        entries.push((hash, value));
        list::encode(ListId { salt, field, offset }, hash, &own, records, &mut lists);
    }
    drop(postings);
    let value = width(entries.iter().map(|(_, value)| *value).max().unwrap_or(0)).max(1);
    let widths = Widths { low: ENTRY_BITS.saturating_sub(value).clamp(8, 12), value };
    let page_count = entries.len().div_ceil(PAGE_ENTRIES).max(1) as u32;
    let mut encoded = Encoded { widths: Some(widths), page_offsets: vec![0], pages: Vec::new(), lists };
    let mut rest = entries.as_slice();
    let mut placed = Vec::new();
    for number in 0..page_count {
        let here = rest.partition_point(|(hash, _)| place(*hash, page_count, HIGH_BITS).0 == number);
        let (own, later) = rest.split_at(here);
        placed.clear();
        placed.extend(own.iter().map(|(hash, value)| (place(*hash, page_count, HIGH_BITS + widths.low).1, *value)));
        let page_at = encoded.pages.len();
        page::encode(PageId { salt, field, number }, &placed, widths, &mut encoded.pages);
        if encoded.pages.len() - page_at > PAGE_BYTES_MAX {
            return Ok(Encoded::default());
        }
        encoded.page_offsets.push(u32::try_from(encoded.pages.len()).map_err(|_| too_long.clone())?);
        rest = later;
    }
    Ok(encoded)
}
