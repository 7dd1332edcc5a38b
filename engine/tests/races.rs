//! Moments that threads and processes rarely meet at, met on purpose: a storage that waits, tears, hides or panics where
//! it is told to.

use annals::storage::sim::SimDisk;
use annals::storage::{File, Lock};
use annals::{Background, Durability, Error, Log, Options, Reader, ScanRange, Storage, Timestamp};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

fn body(text: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("text", text.to_owned())])
}

/// Runs `work` on a thread of its own, and fails if it is not done in time.
fn within<T: Send + 'static>(seconds: u64, what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    wait.recv_timeout(Duration::from_secs(seconds)).unwrap_or_else(|error| panic!("{what}: {error}"))
}

type ChangeNames = dyn FnMut(&mut Vec<String>) + Send;

/// What is done to the calls of a disk.
#[derive(Default)]
struct Plan {
    /// Changes what a listing of the directory says.
    listing: Mutex<Option<Box<ChangeNames>>>,
    /// Until when the head is half written.
    torn_until: Mutex<Option<Instant>>,
    /// Whether syncs wait.
    held: Mutex<bool>,
    /// How many do.
    waiting: Mutex<u32>,
    released: Condvar,
    panic_at_sync: AtomicBool,
    /// How many reads are left until one returns a wrong bit, that one included; and in which sixteenth of its bytes.
    wrong_in: AtomicU64,
    wrong_at: AtomicU64,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plan")
    }
}

#[derive(Debug, Clone)]
struct Meddler {
    disk: Arc<dyn Storage>,
    plan: Arc<Plan>,
}

impl Meddler {
    fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.storage(), plan: Arc::default() }
    }

    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    /// Lets syncs wait until what is returned is dropped.
    fn hold(&self) -> Held {
        *self.plan.held.lock().unwrap() = true;
        Held(Arc::clone(&self.plan))
    }

    fn wrap(&self, name: &str, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(MeddledFile { name: name.to_owned(), file, plan: Arc::clone(&self.plan) })
    }
}

struct Held(Arc<Plan>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.held.lock().unwrap() = false;
        self.0.released.notify_all();
    }
}

impl Storage for Meddler {
    fn describe(&self, name: &str) -> String {
        self.disk.describe(name)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(folder)?;
        if let Some(change) = &mut *self.plan.listing.lock().unwrap() {
            change(&mut names);
        }
        Ok(names)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(name, self.disk.open(name)?))
    }
    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(name, self.disk.open_write(name)?))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(name, self.disk.create(name)?))
    }
    fn map(&self, name: &str) -> io::Result<annals_index::Bytes> {
        self.disk.map(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.create_dir(folder)
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }
    fn lock(&self, name: &str, holder: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(name, holder)
    }
    fn now(&self) -> Timestamp {
        self.disk.now()
    }
    fn random(&self) -> io::Result<[u8; 16]> {
        self.disk.random()
    }
    fn boot_id(&self) -> [u8; 16] {
        self.disk.boot_id()
    }
}

#[derive(Debug)]
struct MeddledFile {
    name: String,
    file: Arc<dyn File>,
    plan: Arc<Plan>,
}

impl File for MeddledFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset)?;
        if self.name == "head" && self.plan.torn_until.lock().unwrap().is_some_and(|until| Instant::now() < until) {
            buffer[8] ^= 1;
        }
        let left = self.plan.wrong_in.load(Ordering::SeqCst);
        self.plan.wrong_in.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            let used = buffer[..read].iter().rposition(|&byte| byte != 0).unwrap_or(0) as u64;
            buffer[(used * self.plan.wrong_at.load(Ordering::SeqCst) / 16) as usize] ^= 4;
        }
        Ok(read)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.file.reserve(len)
    }
    fn sync(&self) -> io::Result<()> {
        *self.plan.waiting.lock().unwrap() += 1;
        let mut held = self.plan.held.lock().unwrap();
        while *held {
            held = self.plan.released.wait(held).unwrap();
        }
        drop(held);
        *self.plan.waiting.lock().unwrap() -= 1;
        if self.plan.panic_at_sync.swap(false, Ordering::SeqCst) {
            panic!("planted");
        }
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

fn texts(reader: &Reader) -> Vec<String> {
    let text = |record: annals::RecordBuf| record.decode::<BTreeMap<String, String>>().unwrap()["text"].clone();
    reader.scan(ScanRange::all()).unwrap().map(|record| text(record.unwrap())).collect()
}

#[test]
fn a_head_that_is_caught_half_written_shows_nothing_that_is_not_durable() {
    let disk = SimDisk::new(1);
    let meddler = Meddler::new(&disk);
    let log = Options::new().background(Background::Manual).open_or_create_on(meddler.storage()).unwrap();
    log.append(&body("durable")).unwrap();
    std::thread::scope(|scope| {
        let _held = meddler.hold();
        scope.spawn(|| log.append(&body("written")).unwrap());
        let raw = || disk.files().into_iter().find(|(name, _)| name.ends_with(".log")).unwrap().0;
        while !String::from_utf8_lossy(&disk.read(&raw()).unwrap()).contains("written") {
            std::thread::yield_now();
        }
        // The writer is stopped in the middle of writing a head, for as long as a time slice takes.
        let tear = || *meddler.plan.torn_until.lock().unwrap() = Some(Instant::now() + Duration::from_millis(4));
        tear();
        let reader = Reader::open_on(meddler.storage()).unwrap();
        assert_eq!(texts(&reader), ["durable"]);
        tear();
        reader.refresh().unwrap();
        assert_eq!(texts(&reader), ["durable"]);
    });
}

#[test]
fn a_listing_that_is_made_while_a_segment_is_sealed_hides_no_records() {
    let disk = SimDisk::new(1);
    let meddler = Meddler::new(&disk);
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    for text in ["a", "b", "c"] {
        log.append(&body(text)).unwrap();
        log.seal().unwrap();
    }
    // The listing passed the place of the sealed file before there was one, and that of the raw file after it had gone.
    let mut sealed: Vec<_> = disk.files().into_iter().map(|(n, _)| n).filter(|n| n.ends_with(".seg")).collect();
    sealed.sort();
    for hidden in sealed {
        let reader = Reader::open_on(meddler.storage()).unwrap();
        let mut once = Some(hidden);
        *meddler.plan.listing.lock().unwrap() = Some(Box::new(move |names| {
            if let Some(hidden) = once.take() {
                names.retain(|name| *name != hidden);
            }
        }));
        log.append(&body("new")).unwrap();
        reader.refresh().unwrap();
        let found = texts(&reader);
        assert_eq!(found.len() as u64, log.next_seq());
        assert_eq!(found[..3], ["a", "b", "c"]);
        log.seal().unwrap();
        *meddler.plan.listing.lock().unwrap() = None;
    }
}

#[test]
fn a_storage_that_panics_poisons_the_log_and_nobody_waits_for_ever() {
    let disk = SimDisk::new(1);
    let meddler = Meddler::new(&disk);
    let log = Options::new().open_or_create_on(meddler.storage()).unwrap();
    log.append(&body("before")).unwrap();
    let held = meddler.hold();
    within(30, "an append waits for a thread that panicked", move || {
        let log = Arc::new(log);
        let append = |log: Arc<Log>| std::thread::spawn(move || log.append(&body("after")));
        let threads: Vec<_> = (0..4).map(|_| append(Arc::clone(&log))).collect();
        while log.next_seq() < 5 {
            std::thread::yield_now();
        }
        meddler.plan.panic_at_sync.store(true, Ordering::SeqCst);
        drop(held);
        let outcomes: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
        assert!(outcomes.iter().filter(|outcome| outcome.is_err()).count() <= 1, "{outcomes:?}");
        assert!(outcomes.iter().flatten().all(|outcome| matches!(outcome, Err(Error::Poisoned(_)))), "{outcomes:?}");
        assert!(matches!(log.append(&body("later")), Err(Error::Poisoned(_))));
        assert!(Arc::into_inner(log).unwrap().close().is_err());
    });
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    assert_eq!(texts(&log.reader())[0], "before");
}

#[test]
fn appends_that_wait_for_no_sync_go_on_beside_one_that_takes_long() {
    let disk = SimDisk::new(1);
    let meddler = Meddler::new(&disk);
    let options = Options::new().background(Background::Manual).durability(Durability::Written);
    let log = Arc::new(options.open_or_create_on(meddler.storage()).unwrap());
    log.append(&body("before")).unwrap();
    let held = meddler.hold();
    within(30, "an append waits for a sync in the background", move || {
        let kept = Arc::clone(&log);
        let keeper = std::thread::spawn(move || kept.maintain());
        while *meddler.plan.waiting.lock().unwrap() == 0 {
            std::thread::yield_now();
        }
        for n in 1..100 {
            assert_eq!(log.append(&body("beside")).unwrap(), n);
        }
        assert_eq!(log.reader().end_seq(), 100);
        assert_eq!(log.durable_seq(), 0, "durable before the sync is over");
        // One that waits for a sync waits for this one first, and then for its own.
        let durable = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                let mut batch = annals::Batch::new();
                batch.push(&body("durable")).unwrap();
                log.append_batch_with(&mut batch, Durability::Durable).map(|_| log.durable_seq())
            }
        });
        while log.next_seq() < 101 {
            std::thread::yield_now();
        }
        assert_eq!(log.durable_seq(), 0);
        drop(held);
        keeper.join().unwrap().unwrap();
        assert_eq!(durable.join().unwrap().unwrap(), 101);
        Arc::into_inner(log).unwrap().close().unwrap();
    });
}

/// What the disk gives back wrong once, and then right again.
#[test]
fn a_wrong_bit_while_records_get_another_place_costs_none_in_silence() {
    let disk = SimDisk::new(1);
    let options = Options::new().background(Background::Manual);
    let buffered = options.clone().durability(Durability::Buffered { interval: Duration::from_secs(1) });
    let log = buffered.open_or_create_on(disk.storage()).unwrap();
    for n in 0..9 {
        assert_eq!(log.append(&body("nine")).unwrap(), n);
    }
    log.sync().unwrap();
    let disk = disk.crash(annals::storage::sim::Loss::Nothing, 1);
    for (read, place) in (1..30).flat_map(|read| (0..16).map(move |place| (read, place))) {
        let left = disk.copy();
        let meddler = Meddler::new(&left);
        meddler.plan.wrong_in.store(read, Ordering::SeqCst);
        meddler.plan.wrong_at.store(place, Ordering::SeqCst);
        let report = options.open_or_create_on(meddler.storage()).map(|log| log.recovery().clone());
        let is_told = report.as_ref().is_ok_and(|report| !report.is_complete() || !report.dropped.is_empty());
        drop(options.open_or_create_on(left.storage()).unwrap());
        let scan = Reader::open_on(left.storage()).unwrap().scan(ScanRange::all()).unwrap();
        let found = scan.filter(Result::is_ok).count();
        assert!(found == 9 || is_told, "read {read}, place {place}: {found} of 9, {report:?}");
    }
}

#[test]
fn a_segment_that_is_deleted_under_a_reader_is_reported_by_verify() {
    let disk = SimDisk::new(1);
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    for text in ["a", "b", "c"] {
        log.append(&body(text)).unwrap();
        if text != "c" {
            log.seal().unwrap();
        }
    }
    let storage = disk.storage();
    let names: Vec<_> = disk.files().into_iter().map(|(name, _)| name).collect();
    for name in names.into_iter().filter(|name| name.ends_with(".seg") || name.ends_with(".log")) {
        let bytes = disk.read(&name).unwrap();
        storage.remove(&name).unwrap();
        for reader in [log.reader(), Reader::open_on(disk.storage()).unwrap()] {
            let report = reader.verify(&mut |_| ()).unwrap();
            let is_known = report.end_seq == 3;
            assert!(!is_known || !report.is_sound(), "{name}: {report:?}");
        }
        assert!(!log.reader().verify(&mut |_| ()).unwrap().is_sound(), "{name}");
        disk.replace(&name, &bytes);
    }
    assert!(log.reader().verify(&mut |_| ()).unwrap().is_sound());
}

#[test]
fn a_large_batch_gets_its_turn_though_small_ones_fill_the_queue_without_a_pause() {
    let disk = SimDisk::new(1);
    let durability = Durability::Buffered { interval: Duration::from_millis(100) };
    let options = Options::new().queue_bytes(64 << 10).segment_bytes(1 << 20).durability(durability);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    within(60, "a large batch starves", move || {
        let done = AtomicBool::new(false);
        let small = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        log.append(&body(&"s".repeat(4_000))).unwrap();
                        small.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..20 {
                log.append(&body(&"l".repeat(62_000))).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        println!("{} small records beside 20 large ones", small.into_inner());
    });
}
