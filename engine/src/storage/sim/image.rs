//! What a crash leaves of a simulated disk.

use super::world::{Change, FileState, Random, World};

/// What of the changes that are not durable survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// None of them.
    Everything,
    /// All of them: as when only the process was killed.
    Nothing,
    /// Those before a random moment, file by file.
    Suffix,
    /// A random choice, each whole.
    Subset,
    /// A random choice, in which writes survive in part: sectors of 512 bytes, or pages of 4 KiB.
    Torn,
}

impl Loss {
    /// Every way to lose.
    pub const ALL: [Self; 5] = [Self::Everything, Self::Nothing, Self::Suffix, Self::Subset, Self::Torn];
}

pub(super) fn take(world: &World, loss: Loss, seed: u64) -> World {
    let mut random = Random(seed);
    // What was drawn as unique before the crash is never drawn again after it.
    let mut image = World::new(world.random.clone().next() ^ random.next());
    image.names = world.names_durable.clone();
    for change in survivors(&world.names_pending, loss, &mut random) {
        change.apply(&mut image.names);
    }
    // A lock ends with its process, and folders are made before anything depends on them.
    image.folders = world.folders.clone();
    image.clock_us = world.clock_us;
    image.next_id = world.next_id;
    for &id in image.names.values() {
        let bytes = after_crash(&world.files[&id], loss, &mut random);
        image.files.insert(id, FileState { live: bytes.clone(), durable: bytes, pending: Vec::new() });
    }
    image.names_durable = image.names.clone();
    image
}

fn after_crash(file: &FileState, loss: Loss, random: &mut Random) -> Vec<u8> {
    let mut bytes = file.durable.clone();
    if loss == Loss::Nothing {
        return file.live.clone();
    }
    for change in survivors(&file.pending, loss, random) {
        match change {
            Change::Write { offset, bytes: new } if loss == Loss::Torn => tear(*offset, new, &mut bytes, random),
            change => change.apply(&mut bytes),
        }
    }
    bytes
}

fn survivors<'a, T>(pending: &'a [T], loss: Loss, random: &mut Random) -> Vec<&'a T> {
    match loss {
        Loss::Everything => Vec::new(),
        Loss::Nothing => pending.iter().collect(),
        Loss::Suffix => pending.iter().take(random.below(pending.len() as u64 + 1) as usize).collect(),
        Loss::Subset | Loss::Torn => pending.iter().filter(|_| random.below(2) == 0).collect(),
    }
}

/// Writes some of the sectors of `new`.
fn tear(offset: u64, new: &[u8], bytes: &mut Vec<u8>, random: &mut Random) {
    let unit = if random.below(2) == 0 { 512 } else { 4096 };
    let mut at = 0;
    while at < new.len() {
        let end = new.len().min(at + (unit - (offset as usize + at) % unit));
        if random.below(2) == 0 {
            Change::Write { offset: offset + at as u64, bytes: new[at..end].to_vec() }.apply(bytes);
        }
        at = end;
    }
}
