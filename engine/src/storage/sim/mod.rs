//! A disk in memory that behaves as real ones do at their worst: what was not synced may be lost, torn or kept in any
//! combination when it crashes, names included; calls fail when they are told to; nothing else ever happens by chance.
//!
//! Feature `sim`. The engine that runs on it is the engine that ships: it sees a [`Storage`] like any other.
//!
//! ```
//! use annals::storage::sim::{Loss, SimDisk};
//! # fn main() -> Result<(), annals::Error> {
//! let disk = SimDisk::new(7);
//! let options = annals::Options::new().background(annals::Background::Manual);
//! let log = options.open_or_create_on(disk.storage())?;
//! log.append(&std::collections::BTreeMap::from([("user", "ada")]))?;
//! let after = disk.crash(Loss::Everything, 1);
//! let log = options.open_or_create_on(after.storage())?;
//! assert_eq!(log.next_seq(), 1);
//! # Ok(())
//! # }
//! ```

mod file;
mod image;
mod names;
mod random;
mod world;

use super::{File, Lock, Storage};
use crate::Timestamp;
use crate::sync::{Mutex, MutexGuard};
pub use image::Loss;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use world::World;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call and all later ones fail: the machine has stopped. What the call was to do may have happened or not.
    Stop,
    /// The call fails with an I/O error. What a failed sync was to make durable never becomes so.
    Io,
    /// The call fails for want of space.
    Full,
    /// A write or read handles half of its bytes, and says so; other calls succeed.
    Short,
    /// A write or read handles no byte, and says so; other calls succeed.
    Zero,
    /// The call does nothing, and says that it was interrupted.
    Interrupted,
}

/// A simulated disk. Cloning gives another handle on the same one.
#[derive(Debug, Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl SimDisk {
    /// An empty disk. All that is random on it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed))) }
    }

    /// The disk, as the engine sees it.
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(SimStorage { world: Arc::clone(&self.world), folder: String::new() })
    }

    /// Whether the disk takes direct writes ([`Storage::open_direct`]). It does unless it is told not to.
    pub fn take_direct_writes(&self, takes: bool) {
        self.lock().takes_direct = takes;
    }

    /// How many calls have been made that change something or make it durable.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// How many calls have been made that only look.
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// How many calls have gone wrong, because they were told to.
    pub fn faults(&self) -> u64 {
        self.lock().faults
    }

    /// Whether the last call that went wrong was to read or write bytes.
    pub fn failed_transfer(&self) -> bool {
        self.lock().failed_transfer
    }

    /// Lets call number `call` (from 0, as [`SimDisk::calls`] counts) fail, and all later ones too if `for_ever`.
    pub fn fail_at(&self, call: u64, fault: Fault, for_ever: bool) {
        self.lock().fault = Some((call, fault, for_ever));
    }

    /// Lets look number `read` (from 0, as [`SimDisk::reads`] counts) fail, and all later ones too if `for_ever`.
    pub fn fail_read_at(&self, read: u64, fault: Fault, for_ever: bool) {
        self.lock().read_fault = Some((read, fault, for_ever));
    }

    /// Stops the process here: every call from now on fails and does nothing, until [`SimDisk::restart`].
    pub fn stop(&self) {
        self.lock().stopped = true;
    }

    /// Lets another process go on with the disk: no lock is held. The machine was not restarted, so what was not synced is
    /// still seen, and still not durable.
    pub fn restart(&self) {
        let mut world = self.lock();
        world.stopped = false;
        world.locked.clear();
    }

    /// From now on no call fails any more that was told to.
    pub fn heal(&self) {
        let mut world = self.lock();
        (world.fault, world.read_fault) = (None, None);
    }

    /// What a restart after a crash at this moment finds, as `loss` and `seed` decide. This disk stays as it is.
    pub fn crash(&self, loss: Loss, seed: u64) -> Self {
        let image = image::take(&self.lock(), loss, seed);
        Self { world: Arc::new(Mutex::new(image)) }
    }

    /// A copy of the disk as it is, on which another run of events can begin. On the copy nothing fails.
    pub fn copy(&self) -> Self {
        let copy = self.lock().copy();
        Self { world: Arc::new(Mutex::new(copy)) }
    }

    /// Keeps a copy of the disk in the middle of every call from now on: after what it changes, and before what it makes
    /// durable. [`SimDisk::take_moments`] gives them; a crash of one is a crash at that call.
    pub fn keep_moments(&self) {
        self.lock().moments = Some(Vec::new());
    }

    /// The copies that were kept since the last time, in order. None is kept from now on.
    pub fn take_moments(&self) -> Vec<Self> {
        let moments = self.lock().moments.take().unwrap_or_default();
        moments.into_iter().map(|world| Self { world: Arc::new(Mutex::new(world)) }).collect()
    }

    /// The names and sizes of all files, in order.
    pub fn files(&self) -> Vec<(String, usize)> {
        let world = self.lock();
        world.directory.live.iter().map(|(name, id)| (name.clone(), world.files[id].live.len())).collect()
    }

    /// A number that differs, in all likelihood, between disks whose files differ in names or bytes, those left out of which
    /// `counts` is false.
    pub fn digest(&self, counts: impl Fn(&str) -> bool) -> u64 {
        let world = self.lock();
        let mut digest = 0xCBF2_9CE4_8422_2325_u64;
        let mut mix = |word: u64| digest = (digest ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        for (name, id) in world.directory.live.iter().filter(|(name, _)| counts(name)) {
            name.bytes().for_each(|byte| mix(byte.into()));
            let (words, rest) = world.files[id].live.as_chunks::<8>();
            mix((words.len() + rest.len()) as u64);
            for (at, word) in words.iter().enumerate().filter(|(_, word)| **word != [0; 8]) {
                mix(at as u64 ^ u64::from_le_bytes(*word));
            }
            rest.iter().for_each(|&byte| mix(byte.into()));
        }
        digest
    }

    /// The bytes of a file; `None` if there is none of that name.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.lock();
        world.directory.live.get(name).map(|id| world.files[id].live.to_vec())
    }

    /// Puts `bytes` in place of a file's, or makes a file of them, durably: to damage it, or to put an old copy back.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        self.lock().replace(name, bytes);
    }

    /// Moves the clock by so many µs. Time passes only so, and by no more than it moves on: an append that waits for a rate limit
    /// waits for this.
    pub fn advance_clock(&self, micros: i64) {
        let mut world = self.lock();
        world.clock_us = world.clock_us.wrapping_add(micros);
        world.elapsed_us = world.elapsed_us.saturating_add(u64::try_from(micros).unwrap_or(0));
    }

    /// The time that the clock shows.
    pub fn clock(&self) -> Timestamp {
        Timestamp::from_micros(self.lock().clock_us)
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct SimStorage {
    world: Arc<Mutex<World>>,
    /// The folder of the disk that this is; the disk's own directory if it is empty.
    folder: String,
}

impl SimStorage {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: u64) -> Arc<dyn File> {
        Arc::new(SimFile { world: Arc::clone(&self.world), id, direct: false })
    }

    /// The name on the disk of what has the name `name` here.
    fn path(&self, name: &str) -> String {
        match (&self.folder[..], name) {
            ("", name) => name.to_owned(),
            (folder, "") => folder.to_owned(),
            (folder, name) => format!("{folder}/{name}"),
        }
    }

    fn existing(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = {
            let mut world = self.lock();
            world.look_whole()?;
            world.find(&self.path(name))?
        };
        Ok(self.handle(id))
    }
}

impl Storage for SimStorage {
    fn describe(&self, name: &str) -> String {
        format!("sim:/{}", self.path(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.lock().list(&self.path(folder))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.existing(name)
    }

    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.existing(name)
    }

    fn open_direct(&self, name: &str, durable: bool) -> io::Result<Arc<dyn File>> {
        let mut world = self.lock();
        world.look_whole()?;
        if !world.takes_direct {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let id = world.find(&self.path(name))?;
        Ok(Arc::new(SimFile { world: Arc::clone(&self.world), id, direct: durable }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = self.lock().create(&self.path(name))?;
        Ok(self.handle(id))
    }

    fn map(&self, name: &str) -> io::Result<annals_index::Bytes> {
        let mut world = self.lock();
        world.look_whole()?;
        Ok(annals_index::Bytes::Read(world.files[&world.find(&self.path(name))?].live.to_vec()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.lock().rename(&self.path(from), &self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(&self.path(name))
    }

    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.lock().create_dir(&self.path(folder))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.lock().sync_dir(&self.path(folder))
    }

    fn folders(&self) -> io::Result<Vec<String>> {
        self.lock().folders(&self.folder)
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        Ok(Arc::new(Self { world: Arc::clone(&self.world), folder: self.path(name) }))
    }

    fn lock(&self, name: &str, holder: &str) -> io::Result<Box<dyn Lock>> {
        let name = self.path(name);
        SimStorage::lock(self).take_lock(&name, holder)?;
        Ok(Box::new(SimLock { world: Arc::clone(&self.world), name }))
    }

    fn now(&self) -> Timestamp {
        let mut world = self.lock();
        world.clock_us = world.clock_us.wrapping_add(1);
        Timestamp::from_micros(world.clock_us)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.lock().elapsed_us)
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut world = self.lock();
        world.look_whole()?;
        Ok(u128::from_le_bytes(std::array::from_fn(|_| world.random.below(256) as u8)).to_le_bytes())
    }

    fn boot_id(&self) -> [u8; 16] {
        self.lock().boot_id
    }
}

#[derive(Debug)]
struct SimLock {
    world: Arc<Mutex<World>>,
    name: String,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).locked.remove(&self.name);
    }
}

#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    id: u64,
    direct: bool,
}

impl SimFile {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.lock().read(self.id, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.direct {
            true => self.lock().write_direct(self.id, bytes, offset),
            false => self.lock().write(self.id, bytes, offset),
        }
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.lock().reserve(self.id, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.lock().sync(self.id)
    }

    fn len(&self) -> io::Result<u64> {
        let mut world = self.lock();
        world.look_whole()?;
        Ok(world.file(self.id).live.len() as u64)
    }
}
