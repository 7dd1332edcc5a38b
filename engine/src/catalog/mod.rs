//! The catalog: what a log knows beside its records. docs/format.md, "Catalog".
//!
//! - [`Hold`]: seqs that retention has to leave alone; [`Release`]: one that was given up, when and why.
//! - [`Removal`]: what retention removed from the beginning of the log, and [`Removed`]: all of it, with the hash tree over it.
//! - The paths of the fields that are indexed.
//!
//! [`codec`] is pure, [`file`] reads and replaces the file, [`CatalogWriter`] changes it. A log without the file has an
//! empty catalog; one whose file is lost is read as if it had none, and changes nothing in it until a repair.

mod codec;
pub(crate) mod file;
mod hold;
mod release;
mod removal;
mod writer;

pub(crate) use file::Stored;
pub use hold::Hold;
pub use release::Release;
pub(crate) use release::Releases;
pub use removal::Removal;
pub(crate) use removal::Removed;
pub(crate) use writer::CatalogWriter;

use crate::Timestamp;
use crate::error::{Error, Result};
use crate::merkle::Frontier;
use crate::query::FieldPath;
use annals_index::FIELDS_MAX;
use std::sync::Arc;

/// Longest path of a field, as it is spelled, in bytes.
pub(crate) const FIELD_BYTES_MAX: usize = 1 << 10;

/// What the catalog says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Catalog {
    /// The fields that are indexed, in the order in which they were named, none twice; `None` if nobody has ever said.
    fields: Option<Vec<FieldPath>>,
    /// In the order in which they were made; no name twice.
    holds: Vec<Hold>,
    releases: Releases,
    removed: Arc<Removed>,
}

impl Catalog {
    /// The fields that are indexed; `None` if nobody has ever said.
    pub(crate) fn fields(&self) -> Option<&[FieldPath]> {
        self.fields.as_deref()
    }

    /// Names the fields that are indexed, in place of those named before.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], see [`check_fields`].
    pub(crate) fn set_fields(&mut self, fields: Vec<FieldPath>) -> Result<()> {
        check_fields(&fields)?;
        self.fields = Some(fields);
        Ok(())
    }

    /// The holds.
    pub(crate) fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// The holds that were released.
    pub(crate) fn releases(&self) -> &Releases {
        &self.releases
    }

    /// What retention has removed.
    pub(crate) fn removed(&self) -> &Arc<Removed> {
        &self.removed
    }

    /// Adds a hold.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if there is one of that name, or no room for another.
    pub(crate) fn add_hold(&mut self, hold: Hold) -> Result<()> {
        let invalid = |detail: String| Err(Error::InvalidOption { option: "hold", detail });
        if self.holds.iter().any(|known| known.name == hold.name) {
            return invalid(format!(
                "there is a hold of the name {:?}: release it first, or take another name",
                hold.name
            ));
        }
        if self.holds.len() == hold::HOLDS_MAX {
            return invalid(format!("a log has at most {} holds: release some first", hold::HOLDS_MAX));
        }
        self.holds.push(hold);
        Ok(())
    }

    /// Adds what retention removes, which follows what it removed before. `frontier` is the hash tree over all of it.
    pub(crate) fn remove(&mut self, removal: Removal, frontier: Frontier) {
        self.removed = Arc::new(self.removed.with(removal, frontier));
    }

    /// Takes the hold `name` away, and keeps on record that it was released.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if there is none of that name, or the reason is too long.
    pub(crate) fn release(&mut self, name: &str, released: Timestamp, reason: &str) -> Result<Release> {
        let invalid = |detail: String| Error::InvalidOption { option: "hold", detail };
        let at = self.holds.iter().position(|hold| hold.name == name);
        let at = at.ok_or_else(|| invalid(format!("there is no hold of the name {name:?}")))?;
        let release = Release { hold: self.holds[at].clone(), released, release_reason: reason.to_owned() };
        if let Some(fault) = release.fault() {
            return Err(invalid(fault));
        }
        self.holds.remove(at);
        self.releases.add(release.clone());
        Ok(release)
    }
}

/// Whether these fields can be indexed.
///
/// # Errors
/// [`Error::InvalidOption`] for more than 64 of them, one twice, and paths that take more than 1 KiB to spell.
pub(crate) fn check_fields(fields: &[FieldPath]) -> Result<()> {
    let invalid = |detail: String| Err(Error::InvalidOption { option: "index_fields", detail });
    if fields.len() > FIELDS_MAX {
        return invalid(format!("at most {FIELDS_MAX} fields are indexed"));
    }
    for (n, field) in fields.iter().enumerate() {
        if field.to_string().len() > FIELD_BYTES_MAX {
            return invalid(format!("a path that takes more than {FIELD_BYTES_MAX} bytes to spell can't be indexed"));
        }
        if fields[..n].contains(field) {
            return invalid(format!("the field {field} is named twice"));
        }
    }
    Ok(())
}
