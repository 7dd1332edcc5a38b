//! The catalog: what a log knows beside its records. docs/format.md, "Catalog".
//!
//! - [`Hold`]: seqs that retention has to leave alone.
//! - [`Removal`]: what retention removed from the beginning of the log, and [`Removed`]: all of it, with the hash tree over it.
//! - The paths of the fields that are indexed.
//!
//! [`codec`] is pure, [`file`] reads and replaces the file, [`CatalogWriter`] changes it. A log without the file has an
//! empty catalog; one whose file is lost is read as if it had none, and changes nothing in it until a repair.

mod codec;
pub(crate) mod file;
mod hold;
mod removal;
mod writer;

pub(crate) use file::Stored;
pub use hold::Hold;
pub use removal::Removal;
pub(crate) use removal::Removed;
pub(crate) use writer::CatalogWriter;

use crate::error::{Error, Result};
use crate::merkle::Frontier;
use std::sync::Arc;

/// Most fields that are indexed.
pub(crate) const FIELDS_MAX: usize = 64;

/// Longest path of a field, in bytes.
pub(crate) const FIELD_BYTES_MAX: usize = 255;

/// What the catalog says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Catalog {
    /// The paths of the fields that are indexed, in the order in which they were named; none twice.
    fields: Vec<String>,
    /// In the order in which they were made; no name twice.
    holds: Vec<Hold>,
    removed: Arc<Removed>,
}

impl Catalog {
    /// The paths of the fields that are indexed.
    pub(crate) fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Names the fields that are indexed, in place of those named before.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for more than 64 of them, one twice, and paths of 0 or more than 255 bytes.
    pub(crate) fn set_fields(&mut self, fields: Vec<String>) -> Result<()> {
        let invalid = |detail: String| Err(Error::InvalidOption { option: "fields", detail });
        if fields.len() > FIELDS_MAX {
            return invalid(format!("at most {FIELDS_MAX} fields are indexed"));
        }
        for (n, path) in fields.iter().enumerate() {
            if path.is_empty() || path.len() > FIELD_BYTES_MAX {
                return invalid(format!("the path of a field has 1 to {FIELD_BYTES_MAX} bytes"));
            }
            if fields[..n].contains(path) {
                return invalid(format!("the field {path} is named twice"));
            }
        }
        self.fields = fields;
        Ok(())
    }

    /// The holds.
    pub(crate) fn holds(&self) -> &[Hold] {
        &self.holds
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

    /// Takes a hold away.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if there is none of that name.
    pub(crate) fn release(&mut self, name: &str) -> Result<Hold> {
        match self.holds.iter().position(|hold| hold.name == name) {
            Some(at) => Ok(self.holds.remove(at)),
            None => {
                Err(Error::InvalidOption { option: "hold", detail: format!("there is no hold of the name {name:?}") })
            }
        }
    }
}
