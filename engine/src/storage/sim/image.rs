//! What a crash leaves of a simulated disk.

use super::file::{ChangeKind, FileState, SECTOR_BYTES};
use super::names::{Directory, Names, folder_of, is_within};
use super::random::Random;
use super::world::World;
use std::sync::Arc;

/// What of the changes that are not durable survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// None of them.
    Everything,
    /// All of them, but for what a failed sync has made the system forget.
    Nothing,
    /// Those before a random moment, the same for all files and names: as on a disk that writes in order.
    Ordered,
    /// Those before a random moment, another one for each file.
    Suffix,
    /// A random choice, each whole. A file may have grown without the bytes that made it grow.
    Subset,
    /// Of each sector of 512 bytes, or page of 4 KiB, what stood there at some moment since it was durable; of each length
    /// and name the same.
    Torn,
}

impl Loss {
    /// Every way to lose.
    pub const ALL: [Self; 6] = [Self::Everything, Self::Nothing, Self::Ordered, Self::Suffix, Self::Subset, Self::Torn];
}

pub(super) fn take(world: &World, loss: Loss, seed: u64) -> World {
    let mut random = Random(seed);
    // What was drawn as unique before the crash is never drawn again after it.
    let mut image = World::new(world.random.clone().next() ^ random.next());
    let last = world.moment.saturating_sub(random.below(world.pending_moments() + 1));
    let survives = |at: u64, random: &mut Random| match loss {
        Loss::Everything => false,
        Loss::Nothing => true,
        Loss::Ordered => at <= last,
        Loss::Suffix | Loss::Subset | Loss::Torn => random.flip(),
    };
    let directory = &world.directory;
    let mut names = Names::clone(&directory.durable);
    let kept = match loss {
        Loss::Suffix => random.below(directory.pending.len() as u64 + 1) as usize,
        _ => directory.pending.len(),
    };
    for change in &directory.pending[..kept] {
        if loss == Loss::Suffix || survives(change.moment, &mut random) {
            change.apply(&mut names);
        }
    }
    let mut folders = directory.folders.clone();
    folders.retain(|folder| !directory.folders_pending.contains(folder) || survives(world.moment, &mut random));
    let there = folders.clone();
    folders.retain(|folder| is_within(&there, folder));
    names.retain(|name, _| folders.contains(folder_of(name)));
    // A lock ends with its process.
    image.takes_direct = world.takes_direct;
    image.clock_us = world.clock_us;
    image.elapsed_us = world.elapsed_us;
    image.next_id = world.next_id;
    for &id in names.values() {
        let bytes = after_crash(&world.files[&id], loss, last, &mut random);
        image.files.insert(id, FileState::durable(bytes));
    }
    image.directory = Directory::durable(names, folders);
    image
}

fn after_crash(file: &FileState, loss: Loss, last: u64, random: &mut Random) -> Arc<Vec<u8>> {
    if file.pending.is_empty() || loss == Loss::Everything {
        return Arc::clone(&file.durable);
    }
    if loss == Loss::Torn {
        return Arc::new(torn(file, random));
    }
    let kept = random.below(file.pending.len() as u64 + 1) as usize;
    let mut bytes = Vec::clone(&file.durable);
    for (index, change) in file.pending.iter().enumerate() {
        let survives = match loss {
            Loss::Nothing => true,
            Loss::Ordered => change.moment <= last,
            Loss::Suffix => index < kept,
            _ => random.flip(),
        };
        if survives {
            change.apply(&mut bytes);
        } else if loss == Loss::Subset && bytes.len() < change.end() && random.flip() {
            bytes.resize(change.end(), 0);
        }
    }
    Arc::new(bytes)
}

/// Of each unit the bytes of some moment.
fn torn(file: &FileState, random: &mut Random) -> Vec<u8> {
    let unit = if random.flip() { SECTOR_BYTES } else { 4096 };
    // How many of eight units have all their changes: one lost sector in a long write is another case than one kept.
    let complete = [0, 1, 4, 7][random.below(4) as usize];
    let salt = random.next();
    let count = file.pending.len() as u64;
    let changes_of = |unit_number: usize| {
        let mut random = Random(salt ^ (unit_number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        if random.below(8) < complete { count } else { random.below(count + 1) }
    };
    let mut bytes = Vec::clone(&file.durable);
    let lengths = changes_of(usize::MAX) as usize;
    let len = file.pending[..lengths].iter().map(super::file::Change::end).fold(bytes.len(), usize::max);
    bytes.resize(len, 0);
    for (index, change) in file.pending.iter().enumerate() {
        let ChangeKind::Write { offset, bytes: new } = &change.kind else { continue };
        let end = (offset + new.len()).min(len);
        let mut at = *offset;
        while at < end {
            let to = end.min((at / unit + 1) * unit);
            if (index as u64) < changes_of(at / unit) {
                bytes[at..to].copy_from_slice(&new[at - offset..to - offset]);
            }
            at = to;
        }
    }
    bytes
}
