//! The state of a simulated disk: every byte, length and name, as it is seen and as it is durable.

use super::Fault;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

/// A small generator of random numbers (SplitMix64, Steele et al. 2014): all that a simulation needs, from one seed.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A change of a file that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Grow { len: u64 },
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes: new } => {
                let (start, end) = (*offset as usize, *offset as usize + new.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(new);
            }
            Self::Grow { len } => {
                if bytes.len() < *len as usize {
                    bytes.resize(*len as usize, 0);
                }
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct FileState {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link { name: String, id: u64 },
    Unlink { name: String },
    Rename { from: String, to: String, id: u64 },
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { name, id } => drop(names.insert(name.clone(), *id)),
            Self::Unlink { name } => drop(names.remove(name)),
            Self::Rename { from, to, id } => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
        }
    }

    fn folder(&self) -> &str {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } | Self::Rename { to: name, .. } => folder_of(name),
        }
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) files: HashMap<u64, FileState>,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) names_durable: BTreeMap<String, u64>,
    pub(super) names_pending: Vec<NameChange>,
    pub(super) folders: BTreeSet<String>,
    pub(super) locked: BTreeSet<String>,
    pub(super) random: Random,
    pub(super) clock_us: i64,
    pub(super) boot_id: [u8; 16],
    pub(super) next_id: u64,
    pub(super) calls: u64,
    pub(super) fault: Option<(u64, Fault, bool)>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        Self {
            files: HashMap::new(),
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            names_pending: Vec::new(),
            folders: BTreeSet::new(),
            locked: BTreeSet::new(),
            clock_us: 1_700_000_000_000_000,
            boot_id: std::array::from_fn(|_| random.below(256) as u8),
            random,
            next_id: 0,
            calls: 0,
            fault: None,
        }
    }

    /// Counts a call, and tells what is to go wrong with it.
    fn call(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some((at, fault, _)) if at == call => Some(fault),
            Some((at, fault, for_ever)) if at < call && (for_ever || fault == Fault::Stop) => Some(fault),
            _ => None,
        }
    }

    /// Counts a call that can only work or fail. What a stopped machine was to do happens, since a crash may lose it
    /// again.
    fn simple_call(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let first = self.fault.is_some_and(|(at, _, _)| at == self.calls);
        match self.call() {
            Some(Fault::Stop) if first => {
                act(self)?;
                Err(error(Fault::Stop))
            }
            Some(fault @ (Fault::Stop | Fault::Io | Fault::Full)) => Err(error(fault)),
            _ => act(self),
        }
    }

    pub(super) fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        if !self.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = self.names.keys().filter(|name| folder_of(name) == folder);
        Ok(names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<u64> {
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !self.folders.contains(folder_of(name)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let id = self.next_id;
        self.simple_call(|world| {
            world.next_id += 1;
            world.files.insert(id, FileState::default());
            world.rename_now(NameChange::Link { name: name.to_owned(), id });
            Ok(())
        })?;
        Ok(id)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let id = self.find(from)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.simple_call(|world| {
            world.rename_now(NameChange::Rename { from, to, id });
            Ok(())
        })
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.simple_call(|world| {
            world.rename_now(NameChange::Unlink { name: name.to_owned() });
            Ok(())
        })
    }

    fn rename_now(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.names_pending.push(change);
    }

    pub(super) fn create_dir(&mut self, folder: &str) -> io::Result<()> {
        if self.folders.contains(folder) {
            return Ok(());
        }
        self.simple_call(|world| {
            world.folders.insert(folder.to_owned());
            Ok(())
        })
    }

    pub(super) fn sync_dir(&mut self, folder: &str) -> io::Result<()> {
        if !self.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.simple_call(|world| {
            let (synced, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut world.names_pending).into_iter().partition(|change| change.folder() == folder);
            synced.iter().for_each(|change| change.apply(&mut world.names_durable));
            world.names_pending = rest;
            Ok(())
        })
    }

    pub(super) fn read(&mut self, id: u64, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        // Reads are not counted: they change nothing. Short ones and interruptions are worth a test all the same.
        let fault = self.fault.and_then(|(at, fault, for_ever)| (for_ever && at <= self.calls).then_some(fault));
        if fault == Some(Fault::Stop) || self.is_stopped() {
            return Err(error(Fault::Stop));
        }
        let bytes = &self.files[&id].live;
        let from = (offset as usize).min(bytes.len());
        let mut len = buffer.len().min(bytes.len() - from);
        if fault == Some(Fault::Short) {
            len = len.div_ceil(2);
        }
        buffer[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn is_stopped(&self) -> bool {
        self.fault.is_some_and(|(at, fault, _)| fault == Fault::Stop && at < self.calls)
    }

    pub(super) fn write(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let first = self.fault.is_some_and(|(at, _, _)| at == self.calls);
        let fault = self.call();
        let len = match fault {
            Some(Fault::Short) => bytes.len().div_ceil(2),
            Some(Fault::Stop) if first => bytes.len(),
            Some(fault @ (Fault::Stop | Fault::Io | Fault::Full | Fault::Interrupted)) => return Err(error(fault)),
            None => bytes.len(),
        };
        let change = Change::Write { offset, bytes: bytes[..len].to_vec() };
        self.change(id, change);
        match fault {
            Some(Fault::Stop) => Err(error(Fault::Stop)),
            _ => Ok(len),
        }
    }

    pub(super) fn reserve(&mut self, id: u64, len: u64) -> io::Result<()> {
        self.simple_call(|world| {
            world.change(id, Change::Grow { len });
            Ok(())
        })
    }

    fn change(&mut self, id: u64, change: Change) {
        let file = self.files.get_mut(&id).expect("a handle's file exists as long as the disk");
        change.apply(&mut file.live);
        file.pending.push(change);
    }

    pub(super) fn sync(&mut self, id: u64) -> io::Result<()> {
        let first = self.fault.is_some_and(|(at, _, _)| at == self.calls);
        match self.call() {
            // The machine stops before the sync is done: what it was to make durable may be lost.
            Some(Fault::Stop) => Err(error(Fault::Stop)),
            Some(fault @ (Fault::Io | Fault::Full)) => {
                if first {
                    // As Linux does: the pages count as clean from now on, and are never written.
                    let file = self.files.get_mut(&id).expect("a handle's file exists as long as the disk");
                    file.pending.clear();
                }
                Err(error(fault))
            }
            _ => {
                let file = self.files.get_mut(&id).expect("a handle's file exists as long as the disk");
                for change in std::mem::take(&mut file.pending) {
                    change.apply(&mut file.durable);
                }
                Ok(())
            }
        }
    }

    pub(super) fn take_lock(&mut self, name: &str, holder: &str) -> io::Result<()> {
        if self.locked.contains(name) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another handle on the simulated disk"));
        }
        let id = match self.find(name) {
            Ok(id) => id,
            Err(_) => self.create(name)?,
        };
        self.change(id, Change::Write { offset: 0, bytes: holder.as_bytes().to_vec() });
        self.locked.insert(name.to_owned());
        Ok(())
    }

    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) {
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, FileState { live: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() });
        self.names.insert(name.to_owned(), id);
        self.names_durable.insert(name.to_owned(), id);
        self.folders.insert(folder_of(name).to_owned());
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Full => io::ErrorKind::StorageFull.into(),
        Fault::Interrupted => io::ErrorKind::Interrupted.into(),
        Fault::Stop => io::Error::other("the simulated machine has stopped"),
        Fault::Io | Fault::Short => io::Error::other("simulated I/O error"),
    }
}
