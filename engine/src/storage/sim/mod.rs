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

mod image;
mod world;

use super::{File, Lock, Storage};
use crate::Timestamp;
use crate::sync::{Mutex, MutexGuard};
pub use image::Loss;
use std::io;
use std::sync::{Arc, PoisonError};
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
    /// A read or write is interrupted; other calls succeed.
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
        Arc::new(SimStorage { world: Arc::clone(&self.world) })
    }

    /// How many calls have been made that change something or make it durable.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Lets call number `call` (from 0, as [`SimDisk::calls`] counts) fail, and all later ones too if `for_ever`.
    pub fn fail_at(&self, call: u64, fault: Fault, for_ever: bool) {
        self.lock().fault = Some((call, fault, for_ever));
    }

    /// What a restart after a crash at this moment finds, as `loss` and `seed` decide. This disk stays as it is.
    pub fn crash(&self, loss: Loss, seed: u64) -> Self {
        let image = image::take(&self.lock(), loss, seed);
        Self { world: Arc::new(Mutex::new(image)) }
    }

    /// The names and sizes of all files, in order.
    pub fn files(&self) -> Vec<(String, usize)> {
        let world = self.lock();
        world.names.iter().map(|(name, id)| (name.clone(), world.files[id].live.len())).collect()
    }

    /// The bytes of a file; `None` if there is none of that name.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.lock();
        world.names.get(name).map(|id| world.files[id].live.clone())
    }

    /// Puts `bytes` in place of a file's, or makes a file of them, durably: to damage it, or to put an old copy back.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        self.lock().replace(name, bytes);
    }

    /// Moves the clock by so many µs.
    pub fn advance_clock(&self, micros: i64) {
        let mut world = self.lock();
        world.clock_us = world.clock_us.wrapping_add(micros);
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct SimStorage {
    world: Arc<Mutex<World>>,
}

impl SimStorage {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: u64) -> Arc<dyn File> {
        Arc::new(SimFile { world: Arc::clone(&self.world), id })
    }

    fn existing(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = self.lock().find(name)?;
        Ok(self.handle(id))
    }
}

impl Storage for SimStorage {
    fn describe(&self, name: &str) -> String {
        format!("sim:/{name}")
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.lock().list(folder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.existing(name)
    }

    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.existing(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = self.lock().create(name)?;
        Ok(self.handle(id))
    }

    fn map(&self, name: &str) -> io::Result<annals_index::Bytes> {
        let world = self.lock();
        Ok(annals_index::Bytes::Read(world.files[&world.find(name)?].live.clone()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.lock().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name)
    }

    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.lock().create_dir(folder)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.lock().sync_dir(folder)
    }

    fn lock(&self, name: &str, holder: &str) -> io::Result<Box<dyn Lock>> {
        SimStorage::lock(self).take_lock(name, holder)?;
        Ok(Box::new(SimLock { world: Arc::clone(&self.world), name: name.to_owned() }))
    }

    fn now(&self) -> Timestamp {
        let mut world = self.lock();
        world.clock_us = world.clock_us.wrapping_add(1);
        Timestamp::from_micros(world.clock_us)
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut world = self.lock();
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
        self.lock().write(self.id, bytes, offset)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.lock().reserve(self.id, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.lock().sync(self.id)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().files[&self.id].live.len() as u64)
    }
}
