//! The state of a simulated disk, and what its calls do to it or fail to do.

use super::Fault;
use super::file::{Change, ChangeKind, FileState};
use super::names::{Directory, NameChangeKind, folder_of};
use super::random::Random;
use crate::storage::BLOCK_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// A call that is to go wrong: its number, how, and whether all later ones do too.
pub(super) type Planned = (u64, Fault, bool);

#[derive(Debug)]
pub(super) struct World {
    pub(super) files: BTreeMap<u64, FileState>,
    pub(super) directory: Directory,
    pub(super) locked: BTreeSet<String>,
    pub(super) random: Random,
    pub(super) clock_us: i64,
    /// Time that has passed: the clock may be moved back as well.
    pub(super) elapsed_us: u64,
    pub(super) boot_id: [u8; 16],
    pub(super) next_id: u64,
    /// Counts the changes.
    pub(super) moment: u64,
    pub(super) calls: u64,
    pub(super) reads: u64,
    pub(super) fault: Option<Planned>,
    pub(super) read_fault: Option<Planned>,
    pub(super) stopped: bool,
    pub(super) takes_direct: bool,
    /// How many calls went wrong, and whether the last of them read or wrote bytes.
    pub(super) faults: u64,
    pub(super) failed_transfer: bool,
    /// The disk in the middle of each call, if that is wanted.
    pub(super) moments: Option<Vec<World>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        Self {
            files: BTreeMap::new(),
            directory: Directory::default(),
            locked: BTreeSet::new(),
            clock_us: 1_700_000_000_000_000,
            elapsed_us: 0,
            boot_id: std::array::from_fn(|_| random.below(256) as u8),
            random,
            next_id: 0,
            moment: 0,
            calls: 0,
            reads: 0,
            fault: None,
            read_fault: None,
            stopped: false,
            takes_direct: true,
            faults: 0,
            failed_transfer: false,
            moments: None,
        }
    }

    /// The disk as it is, for another run of events from here on.
    pub(super) fn copy(&self) -> Self {
        Self {
            files: self.files.clone(),
            directory: self.directory.clone(),
            locked: self.locked.clone(),
            random: self.random.clone(),
            fault: None,
            read_fault: None,
            stopped: false,
            moments: None,
            ..*self
        }
    }

    /// How many of the last moments made something that is not durable.
    pub(super) fn pending_moments(&self) -> u64 {
        let files = self.files.values().flat_map(|file| file.pending.first().map(|change| change.moment));
        let oldest = files.chain(self.directory.pending.first().map(|change| change.moment)).min();
        oldest.map_or(0, |oldest| self.moment + 1 - oldest)
    }

    fn keep_moment(&mut self) {
        if self.moments.is_some() && !self.is_stopped() {
            let copy = self.copy();
            self.moments.get_or_insert_default().push(copy);
        }
    }

    /// Counts a call, and tells what is to go wrong with it, and whether it is the first to.
    fn call(&mut self) -> Option<(Fault, bool)> {
        if self.stopped {
            return Some((Fault::Stop, false));
        }
        let fault = planned(self.fault, self.calls);
        self.calls += 1;
        self.note(fault.is_some(), false);
        fault
    }

    /// Counts a call that can only work or fail. What a stopped machine was to do happens, since a crash may lose it
    /// again.
    fn simple_call(&mut self, act: impl FnOnce(&mut Self)) -> io::Result<()> {
        match self.call() {
            Some((Fault::Stop, true)) => {
                act(self);
                self.keep_moment();
                Err(error(Fault::Stop))
            }
            Some((Fault::Short | Fault::Zero, _)) => {
                self.faults -= 1;
                act(self);
                self.keep_moment();
                Ok(())
            }
            Some((fault, _)) => Err(error(fault)),
            None => {
                act(self);
                self.keep_moment();
                Ok(())
            }
        }
    }

    /// Counts a call that only looks, and fails it if it is to fail.
    pub(super) fn look(&mut self) -> io::Result<Option<Fault>> {
        if self.is_stopped() {
            return Err(error(Fault::Stop));
        }
        let fault = planned(self.read_fault, self.reads);
        self.reads += 1;
        self.note(fault.is_some(), false);
        match fault {
            Some((fault @ (Fault::Short | Fault::Zero), _)) => Ok(Some(fault)),
            Some((fault, _)) => Err(error(fault)),
            None => Ok(None),
        }
    }

    /// As [`World::look`], for a call that has no parts.
    pub(super) fn look_whole(&mut self) -> io::Result<()> {
        let fault = self.look()?;
        self.faults -= u64::from(fault.is_some());
        Ok(())
    }

    fn note(&mut self, failed: bool, transfer: bool) {
        if failed {
            self.faults += u64::from(!transfer);
            self.failed_transfer = transfer;
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped || self.fault.is_some_and(|(at, fault, _)| fault == Fault::Stop && at < self.calls)
    }

    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(super) fn find(&self, name: &str) -> io::Result<u64> {
        self.directory.live.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn file(&mut self, id: u64) -> &mut FileState {
        self.files.get_mut(&id).expect("a handle's file exists as long as the disk")
    }

    pub(super) fn list(&mut self, folder: &str) -> io::Result<Vec<String>> {
        self.look_whole()?;
        if !self.directory.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.directory.in_folder(folder).map(str::to_owned).collect())
    }

    pub(super) fn folders(&mut self, folder: &str) -> io::Result<Vec<String>> {
        self.look_whole()?;
        if !self.directory.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.directory.folders_in(folder).map(str::to_owned).collect())
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<u64> {
        if self.directory.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !self.directory.folders.contains(folder_of(name)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let id = self.next_id;
        self.simple_call(|world| {
            world.next_id += 1;
            world.files.insert(id, FileState::default());
            let moment = world.next_moment();
            world.directory.change(moment, NameChangeKind::Link { name: name.to_owned(), id });
        })?;
        Ok(id)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let id = self.find(from)?;
        if !self.directory.folders.contains(folder_of(to)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.simple_call(|world| {
            let moment = world.next_moment();
            world.directory.rename(moment, from, to, id);
        })
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.simple_call(|world| {
            let moment = world.next_moment();
            world.directory.change(moment, NameChangeKind::Unlink { name: name.to_owned() });
        })
    }

    /// Makes a folder, and then its name durable.
    pub(super) fn create_dir(&mut self, folder: &str) -> io::Result<()> {
        if !self.directory.folders.contains(folder) {
            self.simple_call(|world| {
                world.directory.folders.insert(folder.to_owned());
                world.directory.folders_pending.insert(folder.to_owned());
            })?;
        }
        if self.directory.folders_pending.contains(folder) {
            self.synced_call(|world, ok| {
                if ok {
                    world.directory.folders_pending.remove(folder);
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, folder: &str) -> io::Result<()> {
        if !self.directory.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.synced_call(|world, ok| {
            if ok {
                world.directory.sync(folder);
            }
        })
    }

    /// Counts a call that makes something durable. A machine that stops does so before it is done: what it was to make
    /// durable may be lost.
    fn synced_call(&mut self, act: impl FnOnce(&mut Self, bool)) -> io::Result<()> {
        self.keep_moment();
        match self.call() {
            Some((fault @ (Fault::Io | Fault::Full), true)) => {
                act(self, false);
                Err(error(fault))
            }
            Some((fault @ (Fault::Stop | Fault::Io | Fault::Full | Fault::Interrupted), _)) => Err(error(fault)),
            Some((Fault::Short | Fault::Zero, _)) => {
                self.faults -= 1;
                act(self, true);
                Ok(())
            }
            None => {
                act(self, true);
                Ok(())
            }
        }
    }

    pub(super) fn read(&mut self, id: u64, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.look();
        self.note(!matches!(fault, Ok(None)), true);
        let fault = fault?;
        let bytes = &self.file(id).live;
        let from = (offset as usize).min(bytes.len());
        let len = buffer.len().min(bytes.len() - from);
        let len = match fault {
            Some(Fault::Short) => len.div_ceil(2),
            Some(Fault::Zero) => 0,
            _ => len,
        };
        buffer[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    pub(super) fn write(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.call();
        self.note(fault.is_some(), true);
        let len = match fault {
            Some((Fault::Short, _)) => bytes.len().div_ceil(2),
            Some((Fault::Stop, true)) | None => bytes.len(),
            Some((Fault::Zero, _)) => return Ok(0),
            Some((fault, _)) => return Err(error(fault)),
        };
        self.change(id, ChangeKind::Write { offset: offset as usize, bytes: bytes[..len].into() });
        self.keep_moment();
        match fault {
            Some((Fault::Stop, _)) => Err(error(Fault::Stop)),
            _ => Ok(len),
        }
    }

    /// A write that is durable when it returns. One that fails may have written any of its sectors.
    pub(super) fn write_direct(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.call();
        self.note(fault.is_some(), true);
        let len = match fault {
            Some((Fault::Short, _)) => bytes.len().div_ceil(2).next_multiple_of(BLOCK_BYTES).min(bytes.len()),
            Some((Fault::Stop | Fault::Io, true)) | None => bytes.len(),
            Some((Fault::Zero, _)) => 0,
            Some((fault, _)) => return Err(error(fault)),
        };
        self.change(id, ChangeKind::Write { offset: offset as usize, bytes: bytes[..len].into() });
        self.keep_moment();
        match fault {
            Some((fault @ (Fault::Stop | Fault::Io), _)) => Err(error(fault)),
            _ => {
                self.file(id).sync_last();
                Ok(len)
            }
        }
    }

    pub(super) fn reserve(&mut self, id: u64, len: u64) -> io::Result<()> {
        self.simple_call(|world| world.change(id, ChangeKind::Grow { len: len as usize }))
    }

    fn change(&mut self, id: u64, kind: ChangeKind) {
        let moment = self.next_moment();
        self.file(id).change(Change { moment, kind });
    }

    pub(super) fn sync(&mut self, id: u64) -> io::Result<()> {
        self.synced_call(|world, ok| match ok {
            true => world.file(id).sync(),
            false => {
                let mut random = Random(world.random.0 ^ world.calls);
                world.file(id).fail_sync(&mut random);
            }
        })
    }

    pub(super) fn take_lock(&mut self, name: &str, holder: &str) -> io::Result<()> {
        if self.locked.contains(name) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another handle on the simulated disk"));
        }
        let id = match self.find(name) {
            Ok(id) => id,
            Err(_) => self.create(name)?,
        };
        self.change(id, ChangeKind::Write { offset: 0, bytes: holder.as_bytes().into() });
        self.locked.insert(name.to_owned());
        Ok(())
    }

    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) {
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, FileState::durable(Arc::new(bytes.to_vec())));
        for names in [&mut self.directory.live, &mut self.directory.durable] {
            Arc::make_mut(names).insert(name.to_owned(), id);
        }
        self.directory.folders.extend([String::new(), folder_of(name).to_owned()]);
    }
}

/// What is to go wrong with call number `call`, and whether it is the first to.
fn planned(fault: Option<Planned>, call: u64) -> Option<(Fault, bool)> {
    match fault? {
        (at, fault, _) if at == call => Some((fault, true)),
        (at, fault, for_ever) if at < call && (for_ever || fault == Fault::Stop) => Some((fault, false)),
        _ => None,
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Full => io::ErrorKind::StorageFull.into(),
        Fault::Interrupted => io::ErrorKind::Interrupted.into(),
        Fault::Stop => io::Error::other("the simulated machine has stopped"),
        Fault::Io | Fault::Short | Fault::Zero => io::Error::other("simulated I/O error"),
    }
}
