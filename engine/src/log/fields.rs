//! Field indexes of segments that are sealed already: for fields that were named later, and in place of what is lost.

use crate::error::{Error, Result};
use crate::log::Core;
use crate::log::seal::Sealer;
use crate::query::{FieldCollector, FieldPath};
use crate::sealed::{BlockBuf, FieldIndex, SealedFile, install_fields};
use crate::storage::Storage;
use crate::view::Segment;
use std::collections::BTreeSet;
use std::sync::PoisonError;

/// Blocks between two looks whether the index is still wanted.
const CHECK_EVERY: usize = 16;

/// Which sealed segments need no look any more, by their ordinals.
#[derive(Debug, Default)]
pub(super) struct Indexed(BTreeSet<u64>);

impl Core {
    /// Notes the fields that the options name in the catalog, for openings that name none.
    pub(super) fn keep_index_fields(&self) -> Result<()> {
        let Some(fields) = self.options.index_fields.clone() else { return Ok(()) };
        match self.update_catalog(|catalog| catalog.set_fields(fields)) {
            // A lost catalog keeps nobody from appending, and the fields are those of this opening all the same.
            Err(Error::Damaged(_)) => Ok(()),
            kept => kept,
        }
    }

    /// The fields that are to be indexed: those that the options name, or were named last, or else those of the newest
    /// sealed segment.
    pub(super) fn fields_to_index(&self) -> Vec<FieldPath> {
        self.view.index_fields(&self.storage, self.log_id)
    }

    /// Makes the field index of one sealed segment that has none with all the fields, if there is such a segment. Returns
    /// whether there was one.
    pub(super) fn index_due(&self) -> Result<bool> {
        let mut sealer = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.fields_to_index();
        if wanted.is_empty() {
            return Ok(false);
        }
        let chain = self.view.chain();
        for segment in &chain.segments {
            let Segment::Sealed(slot) = segment else { continue };
            if sealer.indexed.0.contains(&slot.name.ordinal) {
                continue;
            }
            if self.view.is_closed() {
                return Ok(false);
            }
            let made = match slot.file(&self.storage, self.log_id) {
                Ok(file) if file.takes_fields() && !has_all(&file, &wanted) => {
                    index_segment(&*self.storage, &file, &wanted, &|| !self.view.is_closed())?
                }
                Err(error) if !error.is_damage() => return Err(error),
                _ => Made::Nothing,
            };
            match made {
                Made::Stopped => return Ok(false),
                Made::Nothing => sealer.mark(slot.name.ordinal),
                Made::Index => {
                    self.meter.indexed();
                    sealer.mark(slot.name.ordinal);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Makes the field index of `file`, in place of one that is there, as long as `goes_on` says so.
///
/// # Errors
/// What the operating system says.
pub(crate) fn index_segment(
    storage: &dyn Storage,
    file: &SealedFile,
    wanted: &[FieldPath],
    goes_on: &dyn Fn() -> bool,
) -> Result<Made> {
    let mut collector = FieldCollector::new(wanted);
    let mut block = BlockBuf::new();
    for n in 0..file.block_count()? {
        if n % CHECK_EVERY == 0 && !goes_on() {
            return Ok(Made::Stopped);
        }
        match file.read_block(n, &mut block) {
            // Readers are to be told of the damage, so they have to come to it.
            Err(error) if error.is_damage() => return Ok(Made::Nothing),
            read => read?,
        }
        for record in block.iter() {
            if collector.push(record.body).is_err() {
                return Ok(Made::Nothing);
            }
        }
    }
    install_fields(storage, file, collector.into_builder())?;
    Ok(Made::Index)
}

/// The fields of an index.
pub(crate) fn fields_of(index: &FieldIndex) -> Vec<FieldPath> {
    index.fields().filter_map(|(keys, _)| FieldPath::new(keys.iter().cloned()).ok()).collect()
}

impl Sealer {
    fn mark(&mut self, ordinal: u64) {
        self.indexed.0.insert(ordinal);
    }
}

/// What became of an index.
pub(crate) enum Made {
    Index,
    /// There is nothing to be made, or nothing that can be.
    Nothing,
    /// The log was closed meanwhile.
    Stopped,
}

fn has_all(file: &SealedFile, wanted: &[FieldPath]) -> bool {
    file.fields().is_some_and(|index| {
        let has = |path: &FieldPath| index.fields().any(|(keys, _)| keys == path.keys());
        wanted.iter().all(has)
    })
}
