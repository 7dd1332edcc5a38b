//! The header every file of a log begins with. docs/format.md, "File header", is the specification.
//!
//! It lives here because the lowest crate writes such files too. Decoding is pure and checks everything it can
//! before anything of the header is used.

/// Bytes of an encoded [`FileHeader`].
pub const HEADER_BYTES: usize = 128;

/// Bytes of a header that belong to the kind of file.
pub const SPECIFIC_BYTES: usize = 36;

/// The version of the format that this crate writes.
pub const FORMAT_VERSION: u16 = 1;

/// The incompatible feature of a raw segment that may hold entries which tell of dropped records.
pub const INCOMPATIBLE_DROPS: u64 = 1;

/// Incompatible features this crate knows. A file with any other bit set is refused.
pub const INCOMPATIBLE_KNOWN: u64 = INCOMPATIBLE_DROPS;

const MAGIC: [u8; 8] = *b"ANNALS\r\n";

const MAGIC_AT: usize = 0;
const KIND_AT: usize = MAGIC_AT + MAGIC.len();
const VERSION_AT: usize = KIND_AT + 4;
const LENGTH_AT: usize = VERSION_AT + 2;
const COMPATIBLE_AT: usize = LENGTH_AT + 2;
const INCOMPATIBLE_AT: usize = COMPATIBLE_AT + 8;
const LOG_ID_AT: usize = INCOMPATIBLE_AT + 8;
const FILE_ID_AT: usize = LOG_ID_AT + 16;
const BASE_SEQ_AT: usize = FILE_ID_AT + 16;
const ORDINAL_AT: usize = BASE_SEQ_AT + 8;
const CREATED_AT: usize = ORDINAL_AT + 8;
const SPECIFIC_AT: usize = CREATED_AT + 8;
const CRC_AT: usize = SPECIFIC_AT + SPECIFIC_BYTES;
const _: () = assert!(CRC_AT + 4 == HEADER_BYTES);

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// The identity file of a log.
    Identity,
    /// A raw segment: frames as they were appended.
    Raw,
    /// A sealed segment.
    Sealed,
    /// An index of one sealed segment.
    Index,
    /// What a log knows beside its records.
    Catalog,
    /// An index of fields of one sealed segment.
    Fields,
    /// The identity file of a store of streams.
    Store,
    /// What is kept of statistics of one sealed segment.
    Statistics,
}

impl FileKind {
    const ALL: [Self; 8] = [
        Self::Identity,
        Self::Raw,
        Self::Sealed,
        Self::Index,
        Self::Catalog,
        Self::Fields,
        Self::Store,
        Self::Statistics,
    ];

    const fn tag(self) -> [u8; 4] {
        match self {
            Self::Identity => *b"IDNT",
            Self::Raw => *b"RAW ",
            Self::Sealed => *b"SEAL",
            Self::Index => *b"INDX",
            Self::Catalog => *b"CTLG",
            Self::Fields => *b"FLDX",
            Self::Store => *b"STOR",
            Self::Statistics => *b"STAT",
        }
    }
}

/// The first [`HEADER_BYTES`] of a file, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// What the file is.
    pub kind: FileKind,
    /// Feature bits that a reader may ignore.
    pub compatible: u64,
    /// Feature bits without which a file can't be read rightly: only such as are known.
    pub incompatible: u64,
    /// The random id of the log.
    pub log_id: [u8; 16],
    /// The random id of this file, never used twice.
    pub file_id: [u8; 16],
    /// The seq of the first record the file can hold; 0 for a file that holds none.
    pub base_seq: u64,
    /// The ordinal in the file's name; 0 for a file whose name has none.
    pub ordinal: u64,
    /// When the file was created, in µs since the Unix epoch.
    pub created_us: i64,
    /// Bytes whose meaning depends on `kind`.
    pub specific: [u8; SPECIFIC_BYTES],
}

/// Why bytes are not a header this crate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("{found} bytes where a file header needs {HEADER_BYTES}")]
    TooShort {
        /// How many there are.
        found: usize,
    },
    /// The file doesn't begin with the magic of an Annals file.
    #[error("no Annals file header here (the magic bytes are missing)")]
    BadMagic,
    /// The header doesn't match its checksum.
    #[error("the file header is damaged: its checksum is {found:#010x}, its bytes give {expected:#010x}")]
    BadChecksum {
        /// The checksum of the bytes.
        expected: u32,
        /// The checksum that stands in the header.
        found: u32,
    },
    /// The header tells another length than those of its version have.
    #[error("the file header tells of {found} bytes where version {FORMAT_VERSION} has {HEADER_BYTES}")]
    BadLength {
        /// The length it tells.
        found: u16,
    },
    /// A version of the format that this crate doesn't read.
    #[error("format version {found}; this program reads version {FORMAT_VERSION}: use a newer one")]
    UnknownVersion {
        /// The version in the header.
        found: u16,
    },
    /// A kind of file that this crate doesn't know.
    #[error("unknown kind of file {found:?}: use a newer program")]
    UnknownKind {
        /// The tag in the header.
        found: [u8; 4],
    },
    /// Features without which the file can't be read rightly.
    #[error("the file uses features {unknown:#x} that this program doesn't have: use a newer one")]
    UnsupportedFeatures {
        /// The bits that are not known.
        unknown: u64,
    },
    /// The file is sound, but of another kind than was asked for.
    #[error("the header says {found:?} where {expected:?} was expected")]
    WrongKind {
        /// The kind that was asked for.
        expected: FileKind,
        /// The kind in the header.
        found: FileKind,
    },
}

impl FileHeader {
    /// The header as it stands in a file.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[MAGIC_AT..KIND_AT].copy_from_slice(&MAGIC);
        bytes[KIND_AT..VERSION_AT].copy_from_slice(&self.kind.tag());
        bytes[VERSION_AT..LENGTH_AT].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[LENGTH_AT..COMPATIBLE_AT].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        bytes[COMPATIBLE_AT..INCOMPATIBLE_AT].copy_from_slice(&self.compatible.to_le_bytes());
        bytes[INCOMPATIBLE_AT..LOG_ID_AT].copy_from_slice(&self.incompatible.to_le_bytes());
        bytes[LOG_ID_AT..FILE_ID_AT].copy_from_slice(&self.log_id);
        bytes[FILE_ID_AT..BASE_SEQ_AT].copy_from_slice(&self.file_id);
        bytes[BASE_SEQ_AT..ORDINAL_AT].copy_from_slice(&self.base_seq.to_le_bytes());
        bytes[ORDINAL_AT..CREATED_AT].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[CREATED_AT..SPECIFIC_AT].copy_from_slice(&self.created_us.to_le_bytes());
        bytes[SPECIFIC_AT..CRC_AT].copy_from_slice(&self.specific);
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header of the kind `expected` from the start of `bytes`.
    ///
    /// # Errors
    /// Every [`HeaderError`]; the checksum is checked before any field but the magic.
    pub fn decode(bytes: &[u8], expected: FileKind) -> Result<Self, HeaderError> {
        let header = Self::decode_any(bytes)?;
        match header.kind == expected {
            true => Ok(header),
            false => Err(HeaderError::WrongKind { expected, found: header.kind }),
        }
    }

    /// Reads a header of any kind from the start of `bytes`.
    ///
    /// # Errors
    /// As [`FileHeader::decode`], but for [`HeaderError::WrongKind`].
    pub fn decode_any(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::TooShort { found: bytes.len() });
        };
        if bytes[MAGIC_AT..KIND_AT] != MAGIC {
            return Err(HeaderError::BadMagic);
        }
        let (expected, found) = (crc32fast::hash(&bytes[..CRC_AT]), u32::from_le_bytes(array(bytes, CRC_AT)));
        if expected != found {
            return Err(HeaderError::BadChecksum { expected, found });
        }
        let version = u16::from_le_bytes(array(bytes, VERSION_AT));
        if version != FORMAT_VERSION {
            return Err(HeaderError::UnknownVersion { found: version });
        }
        let length = u16::from_le_bytes(array(bytes, LENGTH_AT));
        if usize::from(length) != HEADER_BYTES {
            return Err(HeaderError::BadLength { found: length });
        }
        let incompatible = u64::from_le_bytes(array(bytes, INCOMPATIBLE_AT));
        let unknown = incompatible & !INCOMPATIBLE_KNOWN;
        if unknown != 0 {
            return Err(HeaderError::UnsupportedFeatures { unknown });
        }
        let tag = array(bytes, KIND_AT);
        let kind =
            FileKind::ALL.into_iter().find(|kind| kind.tag() == tag).ok_or(HeaderError::UnknownKind { found: tag })?;
        Ok(Self {
            kind,
            compatible: u64::from_le_bytes(array(bytes, COMPATIBLE_AT)),
            incompatible,
            log_id: array(bytes, LOG_ID_AT),
            file_id: array(bytes, FILE_ID_AT),
            base_seq: u64::from_le_bytes(array(bytes, BASE_SEQ_AT)),
            ordinal: u64::from_le_bytes(array(bytes, ORDINAL_AT)),
            created_us: i64::from_le_bytes(array(bytes, CREATED_AT)),
            specific: array(bytes, SPECIFIC_AT),
        })
    }
}

fn array<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> FileHeader {
        FileHeader {
            kind: FileKind::Raw,
            compatible: 0,
            incompatible: 0,
            log_id: [7; 16],
            file_id: [9; 16],
            base_seq: 1_000,
            ordinal: 3,
            created_us: -5,
            specific: std::array::from_fn(|i| i as u8),
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        assert_eq!(FileHeader::decode(&header().encode(), FileKind::Raw), Ok(header()));
    }

    proptest! {
        #[test]
        fn any_header_comes_back(
            kind in 0..FileKind::ALL.len(), compatible: u64, drops: bool, ids: ([u8; 16], [u8; 16]), numbers: (u64, u64, i64),
            specific in proptest::array::uniform32(any::<u8>()),
        ) {
            let kind = FileKind::ALL[kind];
            let (base_seq, ordinal, created_us) = numbers;
            let (log_id, file_id) = ids;
            let specific = std::array::from_fn(|i| specific[i % 32]);
            let incompatible = if drops { INCOMPATIBLE_DROPS } else { 0 };
            let header =
                FileHeader { kind, compatible, incompatible, log_id, file_id, base_seq, ordinal, created_us, specific };
            prop_assert_eq!(FileHeader::decode(&header.encode(), kind), Ok(header));
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let good = header().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode_any(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_sound_header_from_the_future_is_named_as_such() {
        let refit = |at: usize, byte: u8| {
            let mut bytes = header().encode();
            bytes[at] = byte;
            let crc = crc32fast::hash(&bytes[..CRC_AT]);
            bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            FileHeader::decode_any(&bytes)
        };
        assert_eq!(refit(VERSION_AT, 2), Err(HeaderError::UnknownVersion { found: 2 }));
        assert_eq!(refit(INCOMPATIBLE_AT, 3), Err(HeaderError::UnsupportedFeatures { unknown: 2 }));
        assert_eq!(refit(LENGTH_AT, 127), Err(HeaderError::BadLength { found: 127 }));
        assert_eq!(refit(LENGTH_AT + 1, 1), Err(HeaderError::BadLength { found: 384 }));
        assert_eq!(refit(KIND_AT, b'X'), Err(HeaderError::UnknownKind { found: *b"XAW " }));
        assert!(refit(COMPATIBLE_AT, 1).is_ok());
        assert!(matches!(FileHeader::decode(&header().encode(), FileKind::Index), Err(HeaderError::WrongKind { .. })));
    }

    #[test]
    fn zeros_and_short_slices_are_no_header() {
        assert_eq!(FileHeader::decode_any(&[0; HEADER_BYTES]), Err(HeaderError::BadMagic));
        assert_eq!(FileHeader::decode_any(&header().encode()[..127]), Err(HeaderError::TooShort { found: 127 }));
    }
}
