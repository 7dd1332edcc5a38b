//! Looking values up in a field index.

use super::build::CRC_BYTES;
use super::list::{self, ListHeader, ListId};
use super::page::{FieldPage, PageId, Widths};
use super::records::Records;
use super::{
    DIRECTORY_AT, DIRECTORY_BYTES_MAX, DIRECTORY_FIELD, FIELDS_MAX, Field, FieldsBinding, HIGH_BITS, KEYS_MAX,
    LIST_ALIGN, PAGE_BYTES_MAX, PATH_BYTES_MAX, RECORDS_AT, SOURCE_BYTES_AT, SOURCE_CRC_AT, SOURCE_ID_AT, checksum,
    place,
};
use crate::bytes::Bytes;
use crate::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::segment::{IndexError, RECORDS_MAX};
use std::io;
use std::sync::Arc;

/// Where an index file is read from.
pub trait ReadAt {
    /// How many bytes there are.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if there are not so many, and what the operating system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Whether there are none.
    ///
    /// # Errors
    /// What the operating system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl ReadAt for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|from| self.get(from..));
        let bytes = from.and_then(|bytes| bytes.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Where pages are kept that were read and checked, so that they need not be again. `()` keeps none.
///
/// A page is known by a number that no other page of the same index file has.
pub trait KeptPages {
    /// The page of this number, if it is kept.
    fn get(&self, number: u64) -> Option<Arc<FieldPage>>;

    /// The page of this number has been read, and may be kept.
    fn keep(&self, number: u64, page: &Arc<FieldPage>);
}

impl KeptPages for () {
    fn get(&self, _: u64) -> Option<Arc<FieldPage>> {
        None
    }

    fn keep(&self, _: u64, _: &Arc<FieldPage>) {}
}

/// Why a field index can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FieldsError {
    /// It is not the index that was asked for, or it is damaged.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A field index, of which the header and the directory have been checked. Everything else is checked when it is read.
#[derive(Debug)]
pub struct FieldsReader<S> {
    source: S,
    file_id: [u8; 16],
    salt: u32,
    len: u64,
    records: u32,
    fields: Vec<Field>,
}

impl<S: ReadAt> FieldsReader<S> {
    /// The field index in `source`, if it is that of the segment `expected`.
    ///
    /// # Errors
    /// [`IndexError::Foreign`] for the index of another segment, and what else may be wrong with its header or directory.
    pub fn open(source: S, expected: &FieldsBinding) -> Result<Self, FieldsError> {
        let len = source.len()?;
        let mut bytes = [0; HEADER_BYTES];
        let there = &mut bytes[..len.min(HEADER_BYTES as u64) as usize];
        source.read_at(there, 0)?;
        let header = FileHeader::decode(there, FileKind::Fields).map_err(IndexError::from)?;
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header.specific[at + i]));
        let segment = &expected.segment;
        let matches = [
            ("log", header.log_id == segment.log_id),
            ("base seq", header.base_seq == segment.base_seq),
            ("ordinal", header.ordinal == segment.ordinal),
            ("segment file", header.specific[SOURCE_ID_AT..SOURCE_BYTES_AT] == segment.source_file_id),
            ("segment length", header.specific[SOURCE_BYTES_AT..RECORDS_AT] == segment.source_bytes.to_le_bytes()),
            ("number of records", u32_at(RECORDS_AT) == expected.records),
            ("segment checksum", u32_at(SOURCE_CRC_AT) == expected.source_crc),
        ];
        if let Some((what, _)) = matches.into_iter().find(|(_, same)| !same) {
            return Err(IndexError::Foreign { what }.into());
        }
        if expected.records > RECORDS_MAX {
            return Err(IndexError::Contradiction { what: "more records than an index tells apart" }.into());
        }
        let directory_len = u64::from(u32_at(DIRECTORY_AT));
        if directory_len < CRC_BYTES as u64 || directory_len > len - HEADER_BYTES as u64 {
            let expected = HEADER_BYTES as u64 + directory_len;
            return Err(IndexError::BadLength { expected, found: len }.into());
        }
        if directory_len > DIRECTORY_BYTES_MAX as u64 {
            return Err(IndexError::Contradiction { what: "a directory larger than any may be" }.into());
        }
        let mut directory = vec![0; directory_len as usize];
        source.read_at(&mut directory, HEADER_BYTES as u64)?;
        let salt = crc32fast::hash(&header.file_id);
        let (directory, crc) = directory.split_at(directory.len() - CRC_BYTES);
        let expected_crc = checksum(salt, DIRECTORY_FIELD, 0, &[directory]);
        let found = u32::from_le_bytes(std::array::from_fn(|i| crc[i]));
        if found != expected_crc {
            return Err(IndexError::BadChecksum { expected: expected_crc, found }.into());
        }
        let fields = Taken(directory).fields(len).ok_or(IndexError::Contradiction { what: "its directory" })?;
        // Without this, an index that was cut behind what is looked at would be taken for a whole one.
        let end = fields.last().map_or(HEADER_BYTES as u64 + directory_len, |field| field.lists_at() + field.lists_len);
        if end != len {
            return Err(IndexError::BadLength { expected: end, found: len }.into());
        }
        Ok(Self { source, file_id: header.file_id, salt, len, records: expected.records, fields })
    }

    /// The random id of the index file: what replaces it has another.
    pub fn file_id(&self) -> [u8; 16] {
        self.file_id
    }

    /// Bytes of the index file.
    pub fn file_bytes(&self) -> u64 {
        self.len
    }

    /// The paths of the fields that it has, and whether values of each can be looked up: one with too many is left out.
    pub fn fields(&self) -> impl Iterator<Item = (&[String], bool)> {
        self.fields.iter().map(|field| (&field.path[..], !field.pages.is_empty()))
    }

    /// The number of the field at `path`, if its values can be looked up.
    pub fn field(&self, path: &[String]) -> Option<usize> {
        self.fields.iter().position(|field| field.path == path && !field.pages.is_empty())
    }

    /// All records that may have a value of `hashes` in the field of this number; those that have none are rare among them.
    /// Quickest if the hashes are in ascending order.
    ///
    /// # Errors
    /// [`FieldsError`] if a part of the index is damaged or can't be read.
    pub fn find(&self, number: usize, hashes: &[u64]) -> Result<Records, FieldsError> {
        self.find_with(number, hashes, &())
    }

    /// As [`FieldsReader::find`], with pages of this index file that `kept` keeps.
    ///
    /// # Errors
    /// As [`FieldsReader::find`].
    pub fn find_with(&self, number: usize, hashes: &[u64], kept: &impl KeptPages) -> Result<Records, FieldsError> {
        let Some(field) = self.fields.get(number) else { return Ok(Records::default()) };
        // Where hashes are in order, so are their pages, and each is read once.
        let place = |hash: &u64| place(*hash, field.page_count(), HIGH_BITS + field.low_bits);
        let mut few = Vec::new();
        let mut found = Records::default();
        for group in hashes.chunk_by(|a, b| place(a).0 == place(b).0) {
            let page = self.page_of(number, place(&group[0]).0, kept)?;
            for hash in group {
                for value in page.find(place(hash).1) {
                    match value.checked_sub(self.records) {
                        None => few.push(value),
                        Some(slot) => {
                            // A hash has one list: a page that names one again and again costs no more than that.
                            if let Some(list) = self.list(number, u64::from(slot) * LIST_ALIGN, *hash)? {
                                found = found.union(list);
                                break;
                            }
                        }
                    }
                }
            }
        }
        Ok(found.union(Records::new(few, self.records)))
    }

    /// Reads every page and every list, and checks it.
    ///
    /// # Errors
    /// [`FieldsError`] for the first that is damaged or can't be read.
    pub fn verify(&self) -> Result<(), FieldsError> {
        for (number, field) in self.fields.iter().enumerate() {
            for page in 0..field.page_count() {
                self.page(number, page)?;
            }
            let mut offset = 0;
            while offset < field.lists_len {
                let (id, header) = self.list_header(number, offset)?;
                self.list_records(id, &header)?;
                let len = list::HEADER_BYTES as u64 + u64::from(header.payload_len);
                offset += len.next_multiple_of(LIST_ALIGN);
            }
        }
        Ok(())
    }

    /// The page of this number, kept or read.
    fn page_of(&self, number: usize, page: u32, kept: &impl KeptPages) -> Result<Arc<FieldPage>, FieldsError> {
        let known_by = (number as u64) << 32 | u64::from(page);
        if let Some(page) = kept.get(known_by) {
            return Ok(page);
        }
        let read = Arc::new(self.page(number, page)?);
        kept.keep(known_by, &read);
        Ok(read)
    }

    /// The page of this number, read.
    fn page(&self, number: usize, page: u32) -> Result<FieldPage, FieldsError> {
        let damaged = || IndexError::Contradiction { what: "a page that doesn't match its checksum" };
        let field = &self.fields[number];
        let bounds = field.pages.get(page as usize).zip(field.pages.get(page as usize + 1));
        let bounds = bounds.filter(|(from, to)| (**to - **from) as usize <= PAGE_BYTES_MAX);
        let (&from, &to) = bounds.ok_or_else(damaged)?;
        let mut bytes = vec![0; (to - from) as usize];
        self.source.read_at(&mut bytes, field.pages_at + u64::from(from))?;
        let id = PageId { salt: self.salt, field: number as u32, number: page };
        let widths = Widths { low: field.low_bits, value: field.value_bits };
        Ok(FieldPage::decode(id, bytes, widths).ok_or_else(damaged)?)
    }

    /// The records of the list at `offset`, if it is that of the value of `hash`.
    fn list(&self, number: usize, offset: u64, hash: u64) -> Result<Option<Records>, FieldsError> {
        let (id, header) = self.list_header(number, offset)?;
        if header.hash == hash { self.list_records(id, &header).map(Some) } else { Ok(None) }
    }

    fn list_header(&self, number: usize, offset: u64) -> Result<(ListId, ListHeader), FieldsError> {
        let field = &self.fields[number];
        let id = ListId { salt: self.salt, field: number as u32, offset };
        let room = field.lists_len.checked_sub(offset + list::HEADER_BYTES as u64).ok_or_else(damaged)?;
        let room = room.min(list::payload_max(self.records));
        let mut header = [0; list::HEADER_BYTES];
        self.source.read_at(&mut header, field.lists_at() + offset)?;
        let header = ListHeader::decode(id, &header).filter(|header| u64::from(header.payload_len) <= room);
        Ok((id, header.ok_or_else(damaged)?))
    }

    fn list_records(&self, id: ListId, header: &ListHeader) -> Result<Records, FieldsError> {
        let field = &self.fields[id.field as usize];
        let mut payload = vec![0; header.payload_len as usize];
        self.source.read_at(&mut payload, field.lists_at() + id.offset + list::HEADER_BYTES as u64)?;
        Ok(header.records(id, &payload, self.records).ok_or_else(damaged)?)
    }
}

fn damaged() -> IndexError {
    IndexError::Contradiction { what: "a list that doesn't match its checksum" }
}

/// What is left of a directory.
struct Taken<'a>(&'a [u8]);

impl Taken<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// All fields, if they lie one after the other in a file of `len` bytes.
    fn fields(&mut self, len: u64) -> Option<Vec<Field>> {
        let count = self.u32()? as usize;
        if count > FIELDS_MAX {
            return None;
        }
        let mut fields: Vec<Field> = Vec::with_capacity(count);
        for _ in 0..count {
            let field = self.field()?;
            let before = fields.last().map_or(HEADER_BYTES as u64, |last| last.lists_at() + last.lists_len);
            let pages_end = field.pages_at.checked_add(field.pages.last().copied().unwrap_or(0).into())?;
            let end = pages_end.checked_next_multiple_of(LIST_ALIGN)?.checked_add(field.lists_len)?;
            if field.pages_at < before || end > len {
                return None;
            }
            fields.push(field);
        }
        self.0.is_empty().then_some(fields)
    }

    fn field(&mut self) -> Option<Field> {
        let [keys] = self.array()?;
        let mut path = Vec::new();
        for _ in 0..keys {
            let (key, rest) = self.0.get(2..)?.split_at_checked(u16::from_le_bytes(*self.0.first_chunk()?).into())?;
            path.push(std::str::from_utf8(key).ok()?.to_owned());
            self.0 = rest;
        }
        let [value_bits, low_bits] = self.array()?.map(u32::from);
        let pages_at = self.array().map(u64::from_le_bytes)?;
        let lists_len = self.array().map(u64::from_le_bytes)?;
        let offsets = self.u32()? as usize;
        if offsets > self.0.len() / 4 {
            return None;
        }
        let pages: Vec<u32> = (0..offsets).map(|_| self.u32()).collect::<Option<_>>()?;
        let possible = (1..=KEYS_MAX).contains(&path.len())
            && path.iter().map(String::len).sum::<usize>() <= PATH_BYTES_MAX
            && value_bits <= 32
            && low_bits <= 32
            && pages.len() != 1
            && pages.is_sorted();
        possible.then_some(Field { path, value_bits, low_bits, pages_at, pages, lists_len })
    }
}
