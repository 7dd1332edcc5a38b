//! The first two pages of a raw segment: its header, twice, each on a page of its own.

use crate::storage::{File, read_exact_at};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, HeaderError};
use std::io;

/// Where the second copy of the header stands.
pub(crate) const HEADER_COPY_AT: u64 = 4096;
/// Where the first frame begins.
pub(crate) const DATA_START: u64 = 8192;

/// Both copies of the header, with the zeros between them.
pub(crate) fn encode_preamble(header: &FileHeader) -> Vec<u8> {
    let mut bytes = vec![0; DATA_START as usize];
    let encoded = header.encode();
    for at in [0, HEADER_COPY_AT as usize] {
        bytes[at..at + HEADER_BYTES].copy_from_slice(&encoded);
    }
    bytes
}

/// Reads the header from whichever copy is sound.
///
/// # Errors
/// What the operating system says; otherwise what is wrong with the first copy, if both are unusable.
pub(crate) fn read_header(file: &dyn File) -> io::Result<Result<FileHeader, HeaderError>> {
    let mut first_error = None;
    for at in [0, HEADER_COPY_AT] {
        let mut bytes = [0; HEADER_BYTES];
        let decoded = match read_exact_at(file, &mut bytes, at) {
            Ok(()) => FileHeader::decode(&bytes, FileKind::Raw),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(HeaderError::TooShort { found: 0 }),
            Err(error) => return Err(error),
        };
        match decoded {
            Ok(header) => return Ok(Ok(header)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Ok(Err(first_error.expect("the loop ran")))
}
