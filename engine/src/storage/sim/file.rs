//! One file of a simulated disk: what is seen of it, what of that is durable, and what has changed in between.

use super::random::Random;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a disk writes as one.
pub(super) const SECTOR_BYTES: usize = 512;

/// A change of a file that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// When it was made, counted over all files and names of the disk.
    pub(super) moment: u64,
    pub(super) kind: ChangeKind,
}

#[derive(Debug, Clone)]
pub(super) enum ChangeKind {
    Write { offset: usize, bytes: Arc<[u8]> },
    Grow { len: usize },
}

impl Change {
    /// How long the file has to be for it.
    pub(super) fn end(&self) -> usize {
        match &self.kind {
            ChangeKind::Write { offset, bytes } => offset + bytes.len(),
            ChangeKind::Grow { len } => *len,
        }
    }

    pub(super) fn apply(&self, file: &mut Vec<u8>) {
        if file.len() < self.end() {
            file.resize(self.end(), 0);
        }
        if let ChangeKind::Write { offset, bytes } = &self.kind {
            file[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// Bytes are shared between the copies of a disk until one of them changes them.
#[derive(Debug, Clone, Default)]
pub(super) struct FileState {
    pub(super) live: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) pending: Vec<Change>,
    /// The system has forgotten changes that are still seen, since a sync failed.
    forgotten: bool,
}

impl FileState {
    /// A file that is durable as it is.
    pub(super) fn durable(bytes: Arc<Vec<u8>>) -> Self {
        Self { live: Arc::clone(&bytes), durable: bytes, pending: Vec::new(), forgotten: false }
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(Arc::make_mut(&mut self.live));
        self.pending.push(change);
    }

    /// Makes the last change durable, and no other. It overlaps none that is not.
    pub(super) fn sync_last(&mut self) {
        if let Some(change) = self.pending.pop() {
            change.apply(Arc::make_mut(&mut self.durable));
        }
    }

    pub(super) fn sync(&mut self) {
        match self.forgotten {
            false => self.durable = Arc::clone(&self.live),
            true => {
                let durable = Arc::make_mut(&mut self.durable);
                self.pending.iter().for_each(|change| change.apply(durable));
            }
        }
        self.pending.clear();
    }

    /// What a failed sync does on Linux: its pages count as clean from now on. Some of their sectors may have been written, as
    /// they are seen; the others never will be, though they are still seen.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.forgotten |= !self.pending.is_empty();
        let (some, durable) = (random.flip(), Arc::make_mut(&mut self.durable));
        let mut sectors = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            match &change.kind {
                ChangeKind::Grow { .. } if some && random.flip() => change.apply(durable),
                ChangeKind::Grow { .. } => {}
                ChangeKind::Write { offset, .. } => {
                    sectors.extend(offset / SECTOR_BYTES..change.end().div_ceil(SECTOR_BYTES))
                }
            }
        }
        for sector in sectors.into_iter().filter(|_| some) {
            if random.flip() {
                let end = ((sector + 1) * SECTOR_BYTES).min(self.live.len());
                durable.resize(durable.len().max(end), 0);
                durable[sector * SECTOR_BYTES..end].copy_from_slice(&self.live[sector * SECTOR_BYTES..end]);
            }
        }
    }
}
