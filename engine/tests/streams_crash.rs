//! Crashes and failures at every call while streams are created, appended to, closed for others and opened again.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Error, Options, Query, ScanRange, Store, StoreOptions, StoreReader, StreamName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const STREAMS: [&str; 4] = ["web", "db", "Tenant/1", "con"];

fn options() -> StoreOptions {
    let streams = Options::new().segment_bytes(64 << 10);
    StoreOptions::new().streams(streams).open_streams(2).memory_bytes(256 << 10).background(Background::Manual)
}

/// What every stream has to hold, kept in the simplest way there is.
#[derive(Debug, Clone, Default)]
struct Model {
    /// By stream and seq: what was acknowledged.
    acknowledged: BTreeMap<String, BTreeMap<u64, String>>,
    /// What was asked for and not acknowledged: it may be there or not.
    doubtful: BTreeSet<String>,
    count: usize,
}

impl Model {
    fn append(&mut self, store: &Store, stream: &str, bytes: usize) {
        self.count += 1;
        let text = format!("{stream}-{}-", self.count).repeat(bytes / 8 + 1);
        let record = BTreeMap::from([("text", &text)]);
        let at = Timestamp::from_micros(self.count as i64);
        match store.stream(stream).unwrap().append_at(at, &record) {
            Ok(seq) => {
                let before = self.acknowledged.entry(stream.to_owned()).or_default().insert(seq, text);
                assert_eq!(before, None, "seq {seq} of {stream} was given twice");
            }
            // This one leaves no trace.
            Err(Error::DiskFull { .. }) => {}
            Err(_) => drop(self.doubtful.insert(text)),
        }
    }

    /// Compares what a reader finds with what was appended.
    fn compare(&self, disk: &SimDisk, context: &str) {
        if self.acknowledged.is_empty() {
            return;
        }
        let reader = StoreReader::open_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let streams = reader.streams().unwrap();
        for stream in self.acknowledged.keys() {
            assert!(streams.contains(&StreamName::new(stream).unwrap()), "{context}: {stream} is lost");
        }
        let mut found: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
        let mut matches = reader.query(&streams, &Query::default()).unwrap();
        while let Some((stream, record)) = matches.advance().unwrap_or_else(|error| panic!("{context}: {error}")) {
            let text = record.decode::<BTreeMap<String, String>>().unwrap().remove("text").unwrap();
            found.entry(stream.to_string()).or_default().insert(record.seq(), text);
        }
        for (stream, acknowledged) in &self.acknowledged {
            for (seq, text) in acknowledged {
                let found = found.get_mut(stream).and_then(|records| records.remove(seq));
                assert!(found.as_ref() == Some(text), "{context}: record {seq} of {stream} is lost, or another one");
            }
        }
        for text in found.values().flat_map(BTreeMap::values) {
            assert!(self.doubtful.contains(text), "{context}: a record was never appended");
        }
    }

    /// Checks what is on the disk, and that the store goes on from there.
    fn check(mut self, disk: &SimDisk, context: &str) {
        self.compare(disk, context);
        let store = options().open_or_create_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let before = self.doubtful.len();
        for stream in STREAMS {
            self.append(&store, stream, 50);
        }
        assert_eq!(self.doubtful.len(), before, "{context}: a stream accepts nothing");
        for (stream, report) in store.recoveries() {
            assert!(report.is_complete(), "{context}: {stream}: {report:?}");
        }
        store.close().unwrap_or_else(|error| panic!("{context}: closing: {error}"));
        self.compare(disk, context);
        let reader = StoreReader::open_on(disk.storage()).unwrap();
        assert_eq!(reader.streams().unwrap().len(), STREAMS.len());
        for name in reader.streams().unwrap() {
            let verified = reader.stream(&name).unwrap().verify(&mut |_| ()).unwrap();
            assert!(verified.is_sound(), "{context}: {name}: {verified:?}");
        }
    }
}

/// Creates streams, has them closed for others and opened again, seals, closes the store and opens it again. A stream
/// that fails keeps nobody from the others.
fn run_scenario(disk: &SimDisk, model: &mut Model) {
    let Ok(store) = options().open_or_create_on(disk.storage()) else { return };
    model.append(&store, "web", 10);
    model.append(&store, "db", 3_000);
    model.append(&store, "web", 10);
    model.append(&store, "Tenant/1", 10);
    model.append(&store, "db", 10);
    let _ = store.maintain();
    let _ = store.stream("db").unwrap().with(|log| log.seal());
    model.append(&store, "db", 20);
    model.append(&store, "web", 600);
    let _ = store.close();
    let Ok(store) = options().open_or_create_on(disk.storage()) else { return };
    model.append(&store, "con", 10);
    model.append(&store, "web", 10);
    model.append(&store, "db", 10);
    model.append(&store, "con", 10);
}

fn calls() -> u64 {
    let disk = SimDisk::new(1);
    let mut model = Model::default();
    run_scenario(&disk, &mut model);
    assert_eq!(model.acknowledged.values().map(BTreeMap::len).sum::<usize>(), 11, "no fault was asked for");
    model.check(&disk, "no fault");
    disk.calls()
}

#[test]
fn a_crash_at_any_call_loses_no_stream_and_no_record() {
    for call in 0..calls() {
        let disk = SimDisk::new(1);
        disk.fail_at(call, Fault::Stop, true);
        let mut model = Model::default();
        run_scenario(&disk, &mut model);
        for loss in Loss::ALL {
            for seed in 0..2 {
                let context = format!("stop at call {call}, {loss:?}, seed {seed}");
                model.clone().check(&disk.crash(loss, seed), &context);
            }
        }
    }
}

#[test]
fn a_call_that_fails_costs_its_stream_and_no_other() {
    for call in 0..calls() {
        for (fault, for_ever) in [(Fault::Io, false), (Fault::Io, true), (Fault::Full, false)] {
            let disk = SimDisk::new(1);
            disk.fail_at(call, fault, for_ever);
            let mut model = Model::default();
            run_scenario(&disk, &mut model);
            let context = format!("{fault:?} at call {call}, for ever: {for_ever}");
            if !for_ever && model.count == 15 {
                let lost = model.doubtful.iter().map(|text| text.split('-').next()).collect::<BTreeSet<_>>();
                assert!(lost.len() <= 1, "{context}: more than one stream failed: {lost:?}");
            }
            for loss in [Loss::Nothing, Loss::Everything] {
                model.clone().check(&disk.crash(loss, call), &context);
            }
        }
    }
}

#[test]
fn a_process_that_ends_at_any_call_leaves_streams_that_the_next_one_makes_durable() {
    for call in 0..calls() {
        let disk = SimDisk::new(1);
        disk.fail_at(call, Fault::Stop, true);
        let mut model = Model::default();
        run_scenario(&disk, &mut model);
        disk.heal();
        disk.restart();
        // Another process appends to all streams, and the machine loses its power before it closes them.
        let store = options().open_or_create_on(disk.storage()).unwrap();
        for stream in STREAMS {
            model.append(&store, stream, 10);
        }
        for seed in 0..2 {
            let context = format!("stop at call {call}, opened again, seed {seed}");
            model.clone().check(&disk.crash(Loss::Everything, seed), &context);
            model.clone().check(&disk.crash(Loss::Torn, seed), &context);
        }
    }
}

/// With room for one stream, whose creation fails at any call: its directory, if it is there, takes the place.
#[test]
fn a_creation_that_fails_counts_if_its_directory_is_there() {
    let mut outcomes = BTreeSet::new();
    for fault in [Fault::Io, Fault::Full] {
        for call in 0.. {
            let disk = SimDisk::new(1);
            let store = options().streams_max(1).open_or_create_on(disk.storage()).unwrap();
            let append = |stream: &str| store.stream(stream).unwrap().append(&BTreeMap::from([("n", 1)]));
            disk.fail_at(disk.calls() + call, fault, false);
            let first = append("web");
            if disk.faults() == 0 {
                break;
            }
            disk.heal();
            let is_taken = disk.storage().folders().unwrap().contains(&"web".to_owned());
            let other = append("db");
            outcomes.insert((first.is_ok(), is_taken));
            match is_taken {
                true => {
                    assert!(matches!(other, Err(Error::TooManyStreams { .. })), "{fault:?} at call {call}: {other:?}")
                }
                false => assert!(other.is_ok(), "{fault:?} at call {call}: {other:?}"),
            }
        }
    }
    assert!(outcomes.contains(&(false, true)) && outcomes.contains(&(false, false)), "{outcomes:?}");
}

#[test]
fn a_merge_skips_what_is_damaged_in_one_stream_and_nothing_of_the_others() {
    let disk = SimDisk::new(3);
    let store = options().open_or_create_on(disk.storage()).unwrap();
    let mut model = Model::default();
    for n in 0..30 {
        model.append(&store, STREAMS[n % 3], 20);
    }
    for stream in &STREAMS[..3] {
        store.stream(stream).unwrap().with(|log| log.seal()).unwrap();
    }
    store.close().unwrap();
    let (name, _) =
        disk.files().into_iter().find(|(name, _)| name.starts_with("db/") && name.ends_with(".seg")).unwrap();
    let mut bytes = disk.read(&name).unwrap();
    bytes[600] ^= 1;
    disk.replace(&name, &bytes);
    // And of another stream nothing is left that could be opened.
    for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("%54enant%2f1/")) {
        disk.replace(&name, b"gone");
    }

    let reader = StoreReader::open_on(disk.storage()).unwrap();
    for range in [ScanRange::all(), ScanRange::all().reverse()] {
        let (mut found, mut failed) = (Vec::new(), BTreeSet::new());
        let mut matches = reader.query(&reader.streams().unwrap(), &Query::over(range)).unwrap();
        loop {
            match matches.advance() {
                Ok(Some((stream, record))) => found.push((stream.to_string(), record.seq())),
                Ok(None) => break,
                Err(error) => {
                    assert!(error.is_damage(), "{error}");
                    assert!(failed.insert(matches.stream().unwrap().to_string()), "told twice: {error}");
                }
            }
        }
        let count = |stream: &str| found.iter().filter(|(name, _)| name == stream).count();
        assert_eq!((count("web"), count("db"), found.len()), (10, 9, 19));
        assert_eq!(failed, BTreeSet::from(["db".to_owned(), "Tenant/1".to_owned()]));
    }
}
