//! The fixed parts of a sealed file: header, section directory, trailer. docs/format.md, "Sealed segment".

use super::bytes::{Fields, Salt};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, SPECIFIC_BYTES};

/// Bytes of the trailer at the end of the file.
pub(crate) const TRAILER_BYTES: usize = TRAILER_CRC_AT + 4;

const TRAILER_MAGIC: [u8; 8] = *b"SEALEND\n";

const COPY_AT: usize = 0;
const TRAILER_MAGIC_AT: usize = COPY_AT + HEADER_BYTES;
const DIRECTORY_AT: usize = TRAILER_MAGIC_AT + TRAILER_MAGIC.len();
const DIRECTORY_LEN_AT: usize = DIRECTORY_AT + 8;
const DIRECTORY_CRC_AT: usize = DIRECTORY_LEN_AT + 4;
const FILE_LEN_AT: usize = DIRECTORY_CRC_AT + 4;
const TRAILER_CRC_AT: usize = FILE_LEN_AT + 8;
const _: () = assert!(TRAILER_BYTES == 164);

/// Bytes of an entry of the section directory.
const ENTRY_BYTES: usize = 4 + 4 + 8 + 8;

/// Largest directory that is read, in bytes: far more sections than any version will have.
const DIRECTORY_BYTES_MAX: u32 = 1 << 20;

/// Largest footer section that is read, in bytes.
const SECTION_BYTES_MAX: u64 = 16 << 20;

/// Largest block table, in bytes: a million blocks in the fewest bytes.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// Where the blocks of a file begin; the bytes between the header and there are the dictionary's.
pub(crate) fn blocks_at(header: &FileHeader) -> Option<u64> {
    let (at, rest) = header.specific.split_first_chunk::<8>()?;
    let at = u64::from_le_bytes(*at);
    (at >= HEADER_BYTES as u64 && rest.iter().all(|byte| *byte == 0)).then_some(at)
}

/// `header` as that of a sealed file whose blocks begin at `at`.
pub(crate) fn sealed_header(header: &FileHeader, at: u64) -> FileHeader {
    let mut specific = [0; SPECIFIC_BYTES];
    specific[..8].copy_from_slice(&at.to_le_bytes());
    FileHeader { kind: FileKind::Sealed, specific, ..header.clone() }
}

/// What a footer section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag(pub(crate) [u8; 4]);

impl Tag {
    pub(crate) const DICTIONARY: Self = Self(*b"DICT");
    pub(crate) const SHAPE: Self = Self(*b"SHAP");
    pub(crate) const NODES: Self = Self(*b"NODE");
    pub(crate) const BLOCKS: Self = Self(*b"BLKS");
    pub(crate) const MERKLE: Self = Self(*b"MERK");
    pub(crate) const SOURCES: Self = Self(*b"SRCS");
    pub(crate) const RUNS: Self = Self(*b"RUNS");
    pub(crate) const SUMMARY: Self = Self(*b"SUMM");

    /// The sections that every file of this version has.
    pub(crate) const REQUIRED: [Self; 7] =
        [Self::SHAPE, Self::NODES, Self::BLOCKS, Self::MERKLE, Self::SOURCES, Self::RUNS, Self::SUMMARY];
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.escape_ascii().to_string())
    }
}

/// An entry of the section directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) tag: Tag,
    pub(crate) crc: u32,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// The section directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Directory(pub(crate) Vec<Section>);

impl Directory {
    /// Whether any version writes sections as long as `section`; a file with holes has bytes for longer ones.
    pub(crate) fn is_readable(section: &Section) -> bool {
        section.len <= if section.tag == Tag::BLOCKS { TABLE_BYTES_MAX } else { SECTION_BYTES_MAX }
    }

    pub(crate) fn find(&self, tag: Tag) -> Option<Section> {
        self.0.iter().copied().find(|section| section.tag == tag)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * ENTRY_BYTES);
        for section in &self.0 {
            out.extend(section.tag.0);
            out.extend(section.crc.to_le_bytes());
            out.extend(section.offset.to_le_bytes());
            out.extend(section.len.to_le_bytes());
        }
        out
    }

    /// The directory in `bytes`, which begin at `at` in the file: every section lies between the header and there.
    pub(crate) fn decode(bytes: &[u8], at: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mut sections = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
        while !fields.is_empty() {
            let tag = Tag(fields.array()?);
            let section = Section { tag, crc: fields.u32()?, offset: fields.u64()?, len: fields.u64()? };
            if section.offset < HEADER_BYTES as u64 || section.offset.checked_add(section.len)? > at {
                return None;
            }
            sections.push(section);
        }
        Some(Self(sections))
    }
}

/// The last bytes of the file, without the copy of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) directory_at: u64,
    pub(crate) directory_len: u32,
    pub(crate) directory_crc: u32,
    pub(crate) file_len: u64,
}

impl Trailer {
    pub(crate) fn encode(&self, header: &FileHeader, salt: Salt) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[COPY_AT..TRAILER_MAGIC_AT].copy_from_slice(&header.encode());
        bytes[TRAILER_MAGIC_AT..DIRECTORY_AT].copy_from_slice(&TRAILER_MAGIC);
        bytes[DIRECTORY_AT..DIRECTORY_LEN_AT].copy_from_slice(&self.directory_at.to_le_bytes());
        bytes[DIRECTORY_LEN_AT..DIRECTORY_CRC_AT].copy_from_slice(&self.directory_len.to_le_bytes());
        bytes[DIRECTORY_CRC_AT..FILE_LEN_AT].copy_from_slice(&self.directory_crc.to_le_bytes());
        bytes[FILE_LEN_AT..TRAILER_CRC_AT].copy_from_slice(&self.file_len.to_le_bytes());
        let crc = salt.crc(&bytes[TRAILER_MAGIC_AT..TRAILER_CRC_AT]);
        bytes[TRAILER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The copy of the header in a trailer.
    pub(crate) fn header_copy(bytes: &[u8; TRAILER_BYTES]) -> &[u8] {
        &bytes[COPY_AT..TRAILER_MAGIC_AT]
    }

    /// The trailer in the last bytes of a file that has `file_len` bytes, or what is wrong with them.
    pub(crate) fn decode(bytes: &[u8; TRAILER_BYTES], salt: Salt, file_len: u64) -> Result<Self, &'static str> {
        let mut fields = Fields(&bytes[TRAILER_MAGIC_AT..]);
        if fields.array() != Some(TRAILER_MAGIC) {
            return Err("the trailer's magic bytes are missing: the file may have been cut");
        }
        if salt.crc(&bytes[TRAILER_MAGIC_AT..TRAILER_CRC_AT]).to_le_bytes() != bytes[TRAILER_CRC_AT..] {
            return Err("the trailer doesn't match its checksum");
        }
        let too_short = "the trailer is too short";
        let trailer = Self {
            directory_at: fields.u64().ok_or(too_short)?,
            directory_len: fields.u32().ok_or(too_short)?,
            directory_crc: fields.u32().ok_or(too_short)?,
            file_len: fields.u64().ok_or(too_short)?,
        };
        if trailer.file_len != file_len {
            return Err("the trailer tells another length than the file has");
        }
        let end = trailer.directory_at.checked_add(u64::from(trailer.directory_len));
        let fits = trailer.directory_at >= HEADER_BYTES as u64
            && trailer.directory_len <= DIRECTORY_BYTES_MAX
            && end.is_some_and(|end| end <= file_len.saturating_sub(TRAILER_BYTES as u64));
        match fits {
            true => Ok(trailer),
            false => Err("the section directory lies outside the file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_of_a_file_that_is_shorter_than_itself_is_refused() {
        let header = FileHeader {
            kind: FileKind::Sealed,
            compatible: 0,
            incompatible: 0,
            log_id: [1; 16],
            file_id: [2; 16],
            base_seq: 0,
            ordinal: 1,
            created_us: 0,
            specific: [0; SPECIFIC_BYTES],
        };
        let salt = Salt::of(&header);
        let trailer = Trailer { directory_at: 128, directory_len: 0, directory_crc: salt.crc(&[]), file_len: 100 };
        assert!(Trailer::decode(&trailer.encode(&header, salt), salt, 100).is_err());
    }
}
