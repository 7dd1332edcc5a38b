//! The dictionary of a sealed file, read from whichever of its places is sound.

use super::dictionary;
use super::file::{SealedFile, cached};
use super::layout::Tag;
use super::shared::{FileDictionary, Shared};
use super::{bytes::Salt, parity};
use crate::error::{Damage, Error, Result};
use crate::options::Codec;
use annals_index::HEADER_BYTES;

/// What a copy of the dictionary holds: for which codec, and its plain bytes.
type Plain = (Codec, Vec<u8>);

impl SealedFile {
    /// The dictionary, if the file has one.
    pub(super) fn dictionary(&self) -> Result<Option<&Shared>> {
        let dictionary = cached(&self.dictionary, || {
            let Some(dictionary) = self.file_dictionary()? else { return Ok(None) };
            let unusable = || self.opened.damage(HEADER_BYTES as u64, "zstd refuses the dictionary");
            dictionary.share().ok_or_else(|| Error::Damaged(unusable())).map(Some)
        })?;
        Ok(dictionary.as_ref())
    }

    /// The dictionary, if the file has one: for the segment after it, or in its place.
    pub(crate) fn file_dictionary(&self) -> Result<Option<FileDictionary>> {
        let (codec, plain) = match (self.opened.blocks_at == HEADER_BYTES as u64, self.first_dictionary()?) {
            (true, _) => return Ok(None),
            (false, Ok(plain)) => plain,
            (false, Err(first)) => self.second_dictionary()?.map_err(|_| Error::Damaged(first))?,
        };
        let unusable = || self.opened.damage(HEADER_BYTES as u64, "the dictionary contradicts itself");
        FileDictionary::decode(codec, plain).map(Some).ok_or_else(|| Error::Damaged(unusable()))
    }

    /// The bytes of the copy before the blocks, or more than one can have where the header lies.
    fn dictionary_len(&self) -> u64 {
        let longest = 4 * dictionary::COLUMNS_BYTES_MAX as u64;
        (self.opened.blocks_at - HEADER_BYTES as u64).min(longest)
    }

    /// The copy of the dictionary before the blocks.
    pub(super) fn first_dictionary(&self) -> Result<Result<Plain, Damage>> {
        let (at, len) = (HEADER_BYTES as u64, self.dictionary_len());
        Ok(self.opened.read(at, len)?.and_then(|bytes| {
            dictionary::decode_copy(&bytes, self.opened.salt).map_err(|detail| self.opened.damage(at, detail))
        }))
    }

    /// What stands for the dictionary after the blocks; found without the directory, too.
    pub(super) fn second_dictionary(&self) -> Result<Result<Plain, Damage>> {
        let (at, len) = (HEADER_BYTES as u64, self.dictionary_len());
        let first = match self.opened.read(at, len)? {
            Ok(bytes) => bytes,
            Err(damage) => return Ok(Err(damage)),
        };
        let (at, section) = match self.section(Tag::DICTIONARY)? {
            Ok(bytes) => (self.blocks_end().unwrap_or(0), bytes),
            Err(_) => {
                // Either of the two, by their lengths.
                let at = self.walk()?.end;
                let lengths = [first.len(), parity::section_bytes(first.len())];
                let mut found = Err(self.opened.damage(at, "no dictionary can be found here"));
                for len in lengths {
                    let bytes = match self.opened.read(at, len as u64)? {
                        Ok(bytes) => bytes,
                        Err(damage) => {
                            found = Err(damage);
                            continue;
                        }
                    };
                    if second(&first, &bytes, self.opened.salt).is_ok() {
                        found = Ok(bytes);
                        break;
                    }
                }
                match found {
                    Ok(bytes) => (at, bytes),
                    Err(damage) => return Ok(Err(damage)),
                }
            }
        };
        Ok(second(&first, &section, self.opened.salt).map_err(|detail| self.opened.damage(at, detail)))
    }
}

/// What `section` stands for, which is a second copy or the parity of `first`.
fn second(first: &[u8], section: &[u8], salt: Salt) -> Result<Plain, &'static str> {
    match dictionary::decode_header(section, salt)?.0 {
        Codec::Rows => dictionary::decode_copy(section, salt),
        Codec::Columns => {
            let copy =
                parity::restore(first, section, salt).ok_or("the dictionary can't be made good by its parity")?;
            dictionary::decode_copy(&copy, salt)
        }
    }
}
