//! The names of a simulated disk's files: what is seen, what is durable, and what has changed in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) type Names = BTreeMap<String, u64>;

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct NameChange {
    /// When it was made, counted over all files and names of the disk.
    pub(super) moment: u64,
    pub(super) kind: NameChangeKind,
}

#[derive(Debug, Clone)]
pub(super) enum NameChangeKind {
    Link {
        name: String,
        id: u64,
    },
    Unlink {
        name: String,
    },
    /// Within one folder, in one step.
    Rename {
        from: String,
        to: String,
        id: u64,
    },
    /// The second half of a rename into another folder. A crash may leave both names, but never none.
    Leave {
        from: String,
        to: String,
        id: u64,
    },
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        match &self.kind {
            NameChangeKind::Link { name, id } => drop(names.insert(name.clone(), *id)),
            NameChangeKind::Unlink { name } => drop(names.remove(name)),
            NameChangeKind::Rename { from, to, id } | NameChangeKind::Leave { from, to, id } => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
        }
    }

    fn folder(&self) -> &str {
        folder_of(match &self.kind {
            NameChangeKind::Link { name, .. } | NameChangeKind::Unlink { name } => name,
            NameChangeKind::Rename { to, .. } => to,
            NameChangeKind::Leave { from, .. } => from,
        })
    }
}

/// The names, and the folders that they are in.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    pub(super) live: Arc<Names>,
    pub(super) durable: Arc<Names>,
    pub(super) pending: Vec<NameChange>,
    pub(super) folders: BTreeSet<String>,
    /// Folders that a crash may take away again, with all that is in them.
    pub(super) folders_pending: BTreeSet<String>,
}

impl Directory {
    /// The names as they are, all durable.
    pub(super) fn durable(names: Names, folders: BTreeSet<String>) -> Self {
        let names = Arc::new(names);
        Self { live: Arc::clone(&names), durable: names, folders, ..Self::default() }
    }

    pub(super) fn change(&mut self, moment: u64, kind: NameChangeKind) {
        let change = NameChange { moment, kind };
        change.apply(Arc::make_mut(&mut self.live));
        self.pending.push(change);
    }

    pub(super) fn rename(&mut self, moment: u64, from: &str, to: &str, id: u64) {
        let (from, to) = (from.to_owned(), to.to_owned());
        if folder_of(&from) == folder_of(&to) {
            self.change(moment, NameChangeKind::Rename { from, to, id });
        } else {
            self.change(moment, NameChangeKind::Link { name: to.clone(), id });
            self.change(moment, NameChangeKind::Leave { from, to, id });
        }
    }

    pub(super) fn sync(&mut self, folder: &str) {
        let durable = Arc::make_mut(&mut self.durable);
        self.pending.retain(|change| {
            let synced = change.folder() == folder;
            if synced {
                change.apply(durable);
            }
            !synced
        });
        // The name of a folder stands in the one around it; that of the directory itself stands in its parent.
        self.folders_pending.retain(|pending| pending.is_empty() || folder_of(pending) != folder);
    }

    /// The folders in `folder`, without it.
    pub(super) fn folders_in(&self, folder: &str) -> impl Iterator<Item = &str> {
        let names = self.folders.iter().filter(move |name| !name.is_empty() && folder_of(name) == folder);
        names.map(|name| name.rsplit('/').next().unwrap_or(name))
    }

    pub(super) fn in_folder(&self, folder: &str) -> impl Iterator<Item = &str> {
        let names = self.live.keys().filter(move |name| folder_of(name) == folder);
        names.map(|name| name.rsplit('/').next().unwrap_or(name))
    }
}

/// Whether `folder` and all around it are among `folders`.
pub(super) fn is_within(folders: &BTreeSet<String>, folder: &str) -> bool {
    folders.contains(folder) && (folder.is_empty() || is_within(folders, folder_of(folder)))
}

pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}
