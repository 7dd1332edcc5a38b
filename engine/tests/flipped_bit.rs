//! One flipped bit in a log of 1,000 synced records that was copied while it was open, then opened as anybody would open
//! it: how many records are lost without a word, how many are wrong. The table in docs/testing.md has the answers.
//!
//! By default every 211th byte; with `ANNALS_CASES` all of them, in as many logs as that takes.

mod attack;

use annals::storage::sim::SimDisk;
use annals::{Background, Error, Options};
use attack::{cases, first_salt, in_parallel, is_reported, names, record, trimmed};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

const RECORDS: u64 = 1_000;

/// The file that holds the records, and those around it, as they stand while the log is open.
struct Copied {
    files: Vec<(String, Vec<u8>)>,
    of_records: usize,
}

fn copied(salt: u64, sealed: bool) -> Copied {
    let disk = SimDisk::new(salt);
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    for n in 0..RECORDS {
        let (at, body) = record(salt, n, 100);
        log.append_at(at, &body).unwrap();
    }
    if sealed {
        log.seal().unwrap();
    }
    let as_it_stands = |(name, _): (String, _)| {
        let bytes = disk.read(&name).unwrap();
        // Unused space is all alike: a little of it is enough.
        let bytes = if name.ends_with(".log") { trimmed(bytes, 128) } else { bytes };
        (name, bytes)
    };
    let files: Vec<_> = disk.files().into_iter().map(as_it_stands).collect();
    let ending = if sealed { ".seg" } else { ".log" };
    let of_records = files.iter().position(|(name, _)| name.ends_with(ending)).unwrap();
    Copied { files, of_records }
}

/// What came of one flipped bit.
#[derive(Debug, Default)]
struct Tally {
    /// All records are there as they were.
    whole: AtomicU64,
    /// Some are missing, each of them named by the report of opening the log or by the error of reading it.
    reported: AtomicU64,
    silent: AtomicU64,
    wrong: AtomicU64,
}

impl Tally {
    fn count(&self, salt: u64, copied: &Copied, at: usize, bit: u32) {
        let disk = SimDisk::new(salt + 1);
        for (n, (name, bytes)) in copied.files.iter().enumerate() {
            let mut bytes = bytes.clone();
            if n == copied.of_records {
                bytes[at] ^= 1 << bit;
            }
            disk.replace(name, &bytes);
        }
        let context = format!("salt {salt}, {}, byte {at}, bit {bit}", copied.files[copied.of_records].0);
        let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage());
        let log = log.unwrap_or_else(|error| panic!("{context}: {error}"));
        let (mut missing, mut wrong, mut silent) = (BTreeSet::new(), false, false);
        let mut scan = log.reader().scan(annals::ScanRange::all()).unwrap();
        let mut named = Vec::new();
        let mut found = BTreeSet::new();
        loop {
            match scan.next() {
                None => break,
                Some(Ok(read)) => {
                    let (at, body) = record(salt, read.seq(), 100);
                    let same = read.timestamp() == at && read.decode().is_ok_and(|read| body == read);
                    wrong |= !same || !found.insert(read.seq()) || read.seq() >= RECORDS;
                }
                Some(Err(Error::Damaged(damage))) => named.push(damage),
                Some(Err(error)) => panic!("{context}: {error}"),
            }
        }
        missing.extend((0..RECORDS).filter(|seq| !found.contains(seq)));
        for &seq in &missing {
            silent |= !is_reported(log.recovery(), seq) && !named.iter().any(|damage| names(damage, seq));
        }
        let tally = match (wrong, silent, missing.is_empty()) {
            (true, ..) => &self.wrong,
            (_, true, _) => &self.silent,
            (.., false) => &self.reported,
            (.., true) => &self.whole,
        };
        tally.fetch_add(1, Ordering::Relaxed);
        assert!(!wrong && !silent, "{context}: wrong {wrong}, silent {silent}: {missing:?}");
    }
}

fn flip_everywhere(sealed: bool) {
    let what = if sealed { "sealed" } else { "active" };
    let stride = if cases().is_some() { 1 } else { 211 };
    let tally = Tally::default();
    let mut tried = 0;
    for salt in first_salt().. {
        let copied = copied(salt, sealed);
        let bytes = copied.files[copied.of_records].1.len();
        let flips: Vec<_> = (0..bytes).step_by(stride).map(|at| (at, (at as u64 ^ salt) as u32 % 8)).collect();
        in_parallel(what, &flips, |&(at, bit)| tally.count(salt, &copied, at, bit));
        tried += flips.len();
        if tried >= cases().unwrap_or(0) {
            break;
        }
    }
    let [whole, reported, silent, wrong] =
        [&tally.whole, &tally.reported, &tally.silent, &tally.wrong].map(|count| count.load(Ordering::Relaxed));
    println!(
        "flipped bit, {what}: {tried} positions: {whole} cost nothing, {reported} reported, {silent} silent, {wrong} wrong"
    );
    println!("trust: flipped bit, {what}: {tried} positions, {} failures, seed {}", silent + wrong, first_salt());
}

#[test]
fn a_flipped_bit_in_an_active_segment_is_never_silent_and_nothing_is_wrong() {
    flip_everywhere(false);
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_is_never_silent_and_nothing_is_wrong() {
    flip_everywhere(true);
}
