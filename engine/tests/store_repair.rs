//! A store's own identity file: what is wrong with it is told, and a repair writes it again, whatever happens meanwhile.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Error, Options, Query, Reader, Repair, Store, StoreId, StoreOptions, StoreReader, Timestamp};
use std::collections::BTreeMap;

const STREAMS: [&str; 4] = ["web", "db", "Tenant/1", "quarantine"];

fn open(disk: &SimDisk) -> annals::Result<Store> {
    let streams = Options::new().segment_bytes(64 << 10);
    let options = StoreOptions::new().streams(streams).open_streams(2).memory_bytes(256 << 10);
    options.background(Background::Manual).open_or_create_on(disk.storage())
}

/// A store that was closed, with its id and when it was created.
fn store() -> (SimDisk, StoreId, Timestamp) {
    let disk = SimDisk::new(4);
    let store = open(&disk).unwrap();
    disk.advance_clock(60_000_000);
    for n in 0..20i64 {
        let stream = store.stream(STREAMS[n as usize % 4]).unwrap();
        stream.append_at(Timestamp::from_micros(n), &BTreeMap::from([("n", n)])).unwrap();
        disk.advance_clock(1_000_000);
    }
    let (id, created) = (store.id(), store.created());
    store.close().unwrap();
    (disk, id, created)
}

/// What becomes of the file: gone, or other bytes; and whether one of its two copies can still be read.
fn harms(good: &[u8]) -> Vec<(Option<Vec<u8>>, bool)> {
    let flipped = |places: &[usize]| {
        let mut bytes = good.to_vec();
        places.iter().for_each(|&at| bytes[at] ^= 0x20);
        Some(bytes)
    };
    vec![
        (None, false),
        (Some(vec![]), false),
        (Some(vec![0; good.len()]), false),
        (Some(good[..100].to_vec()), false),
        (flipped(&[40, 200]), false),
        (flipped(&[40]), true),
        (flipped(&[200]), true),
        (Some(good[..good.len() - 1].to_vec()), true),
        (Some([good, b"more"].concat()), true),
    ]
}

fn harmed(disk: &SimDisk, bytes: Option<&[u8]>) -> SimDisk {
    let disk = disk.copy();
    match bytes {
        Some(bytes) => disk.replace("store.id", bytes),
        None => {
            disk.storage().remove("store.id").unwrap();
            disk.storage().sync_dir("").unwrap();
        }
    }
    disk
}

/// All records, by stream and seq.
fn records(disk: &SimDisk) -> Vec<(String, u64, i64)> {
    let reader = StoreReader::open_on(disk.storage()).unwrap();
    let mut matches = reader.query(&reader.streams().unwrap(), &Query::default()).unwrap();
    let mut found = Vec::new();
    while let Some((stream, record)) = matches.advance().unwrap() {
        found.push((stream.to_string(), record.seq(), record.decode::<BTreeMap<String, i64>>().unwrap()["n"]));
    }
    found
}

fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    disk.files().into_iter().map(|(name, _)| (name.clone(), disk.read(&name).unwrap())).collect()
}

/// Whether all of `bytes` is in quarantine.
fn is_kept(disk: &SimDisk, bytes: &[u8]) -> bool {
    files(disk).iter().any(|(name, kept)| name.starts_with("quarantine/store.id.from-0") && kept == bytes)
}

/// When the first stream was created.
fn first_created(disk: &SimDisk) -> Timestamp {
    let created =
        |folder: &str| Reader::open_on(disk.storage().folder(folder).unwrap()).unwrap().info().unwrap().created;
    ["web", "db", "%54enant%2f1", "%71uarantine"].map(created).into_iter().min().unwrap()
}

#[test]
fn a_lost_or_damaged_identity_is_told_and_written_again() {
    let (sound, id, created) = store();
    let expected = records(&sound);
    assert_eq!(expected.len(), 20);
    for (bytes, tells) in harms(&sound.read("store.id").unwrap()) {
        let disk = harmed(&sound, bytes.as_deref());
        let context = format!("{:?} bytes, one copy readable: {tells}", bytes.as_ref().map(Vec::len));
        let reader = StoreReader::open_on(disk.storage()).unwrap();
        assert_eq!((reader.id(), !reader.damage().is_empty()), (tells.then_some(id), true), "{context}");
        assert_eq!(records(&disk), expected, "{context}");
        if !tells {
            assert!(matches!(open(&disk), Err(Error::Damaged(_))), "{context}: nobody appends to it");
        }

        let before = files(&disk);
        let planned = Repair::dry_run().run_store_on(disk.storage()).unwrap();
        assert!(!planned.is_sound() && !planned.is_needless() && planned.store_id == tells.then_some(id), "{context}");
        assert_eq!(files(&disk), before, "{context}: a dry run changes nothing");

        let done = Repair::apply().run_store_on(disk.storage()).unwrap();
        assert!(done.is_sound() && done.damage == planned.damage, "{context}: {done:?}");
        let reader = StoreReader::open_on(disk.storage()).unwrap();
        assert_eq!((reader.id(), reader.damage().len()), (done.store_id, 0), "{context}");
        assert_eq!(reader.id() == Some(id), tells, "{context}");
        let first = if tells { created } else { first_created(&disk) };
        assert!(first >= created && reader.created() == Some(first), "{context}: {:?}", reader.created());
        assert!(bytes.is_none_or(|bytes| is_kept(&disk, &bytes)), "{context}: a copy is kept");
        assert_eq!((records(&disk), reader.streams().unwrap().len()), (expected.clone(), 4), "{context}");

        let again = Repair::apply().run_store_on(disk.storage()).unwrap();
        assert!(again.is_needless() && again.store_id == reader.id(), "{context}");
        let store = open(&disk).unwrap();
        assert_eq!(store.stream("web").unwrap().append(&BTreeMap::from([("n", 20)])).unwrap(), 5);
        store.close().unwrap();
    }
}

#[test]
fn only_what_was_a_store_is_repaired_and_only_while_nobody_writes() {
    let (sound, ..) = store();
    let disk = harmed(&sound, None);
    disk.storage().remove("store.lock").unwrap();
    for repair in [Repair::dry_run(), Repair::apply()] {
        // Logs may stand side by side anywhere.
        assert!(matches!(repair.run_store_on(disk.storage()), Err(Error::NotAStore { .. })));
        assert!(matches!(repair.run_store_on(SimDisk::new(1).storage()), Err(Error::NotAStore { .. })));
        let log = SimDisk::new(1);
        Options::new().background(Background::Manual).open_or_create_on(log.storage()).unwrap().close().unwrap();
        assert!(matches!(repair.run_store_on(log.storage()), Err(Error::NotAStore { .. })));
    }
    let disk = sound.copy();
    let store = open(&disk).unwrap();
    disk.replace("store.id", b"");
    assert!(matches!(Repair::apply().run_store_on(disk.storage()), Err(Error::Locked { .. })));
    assert!(!Repair::dry_run().run_store_on(disk.storage()).unwrap().is_sound());
    store.close().unwrap();
    assert!(Repair::apply().run_store_on(disk.storage()).unwrap().is_sound());
}

#[test]
fn a_store_that_was_begun_and_has_no_stream_is_no_damage() {
    let disk = SimDisk::new(1);
    open(&disk).unwrap().close().unwrap();
    let disk = harmed(&disk, None);
    assert!(matches!(StoreReader::open_on(disk.storage()), Err(Error::NotAStore { .. })));
    open(&disk).unwrap().close().unwrap();
}

/// The calls that a repair makes of each kind of harm, and a disk to make them on.
fn each_call(sound: &SimDisk, mut act: impl FnMut(&SimDisk, u64, Option<&[u8]>, bool)) {
    for (bytes, tells) in harms(&sound.read("store.id").unwrap()) {
        let whole = harmed(sound, bytes.as_deref());
        let begun = whole.calls();
        assert!(Repair::apply().run_store_on(whole.storage()).unwrap().is_sound());
        for call in begun..whole.calls() {
            act(&harmed(sound, bytes.as_deref()), call, bytes.as_deref(), tells);
        }
    }
}

#[test]
fn a_crash_during_a_repair_changes_nothing_about_its_outcome() {
    let (sound, id, _) = store();
    let expected = records(&sound);
    let mut crashes = 0;
    each_call(&sound, |disk, call, bytes, tells| {
        disk.fail_at(call, Fault::Stop, true);
        assert!(Repair::apply().run_store_on(disk.storage()).is_err());
        for loss in Loss::ALL {
            let context = format!("{:?} bytes, stop at call {call}, {loss:?}", bytes.map(<[u8]>::len));
            let after = disk.crash(loss, call);
            let done = Repair::apply().run_store_on(after.storage()).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert!(done.is_sound() && (done.store_id == Some(id)) == tells, "{context}: {done:?}");
            assert!(bytes.is_none_or(|bytes| is_kept(&after, bytes)), "{context}: no copy");
            assert_eq!(records(&after), expected, "{context}");
            open(&after).unwrap_or_else(|error| panic!("{context}: {error}")).close().unwrap();
            crashes += 1;
        }
    });
    assert!(crashes > 200, "{crashes}");
}

#[test]
fn a_call_that_fails_ends_a_repair_and_the_next_one_finishes_it() {
    let (sound, id, _) = store();
    each_call(&sound, |disk, call, bytes, tells| {
        for fault in [Fault::Io, Fault::Full] {
            let disk = disk.copy();
            disk.fail_at(call, fault, false);
            let context = format!("{:?} bytes, {fault:?} at call {call}", bytes.map(<[u8]>::len));
            let _ = Repair::apply().run_store_on(disk.storage());
            let done = Repair::apply().run_store_on(disk.storage()).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert!(done.is_sound() && (done.store_id == Some(id)) == tells, "{context}: {done:?}");
            assert!(bytes.is_none_or(|bytes| is_kept(&disk, bytes)), "{context}: no copy");
        }
    });
}
