//! A store of streams as its users see it, on a real directory.

mod random;

use annals::{
    Background, Batch, Error, Options, Query, Reader, ScanRange, Store, StoreOptions, StoreReader, StreamName,
    Timestamp,
};
use random::Random;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Event {
    n: u64,
    text: String,
}

fn event(n: u64) -> Event {
    Event { n, text: format!("event number {n}") }
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_micros(1_000 * n as i64)
}

/// Few streams open at a time, so that they come and go.
fn few(open: usize) -> StoreOptions {
    StoreOptions::new().open_streams(open).memory_bytes(open * (128 << 10))
}

fn names(store: &Store) -> Vec<String> {
    store.streams().unwrap().iter().map(ToString::to_string).collect()
}

/// All files and directories below `path`, by their paths.
fn tree(path: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        found.insert(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            found.extend(tree(&path));
        }
    }
    found
}

/// Every name that might lead elsewhere, or meet another, or mean something to a system, is a stream like others or refused.
#[test]
fn no_name_escapes_the_directory_or_meets_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in/store");
    let store = few(4).open_or_create(&path).unwrap();
    let hostile = [
        // Ways out: parents, roots, separators of all systems, and these with escapes.
        ".",
        "..",
        "../web",
        "../../etc/passwd",
        "/",
        "/etc/passwd",
        "//server/share",
        "a/b",
        "a/../b",
        "a\\b",
        "..\\web",
        "C:\\web",
        "c:web",
        "~",
        "~root",
        "%2e%2e",
        "%2e%2e%2fweb",
        "%00",
        "%",
        "%%",
        "..%2fweb",
        "file:///etc/passwd",
        // Names that differ in case or in how a letter is composed.
        "web",
        "Web",
        "WEB",
        "stra\u{df}e",
        "STRASSE",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{212a}",
        "k",
        "K",
        // Names of a store's or a log's own files.
        "lock",
        "store.lock",
        "store.id",
        "store.id.tmp",
        "identity",
        "quarantine",
        "head",
        "catalog",
        "web.tmp",
        "00000000000000000000-0000000001.log",
        // What Windows drops at the end, or keeps for devices.
        "web.",
        "web ",
        "web...",
        " ",
        "con",
        "CON",
        "nul",
        "aux.txt",
        "com1",
        "lpt9",
        "COM\u{b9}",
        "conin$",
        // What a shell or a terminal might mind.
        "-rf",
        "--help",
        "*",
        "?",
        "$HOME",
        "`id`",
        "a b",
        "\"",
        "'",
        "<web>",
        "a|b",
        "\u{202e}bew",
        "\u{feff}web",
    ];
    for (n, name) in hostile.iter().enumerate() {
        assert_eq!(store.stream(name).unwrap().append(&event(n as u64)).unwrap(), 0, "{name:?} is another's stream");
    }
    let long = "x".repeat(81);
    for name in [
        "",
        "\0",
        "web\0",
        "\0../web",
        "web\n",
        "\u{1b}[2Jweb",
        "\r",
        "\t",
        "\u{7f}",
        "\u{9b}",
        &long,
        &"\u{e9}".repeat(41),
    ] {
        assert!(matches!(store.stream(name), Err(Error::StreamName { .. })), "{name:?}");
    }
    let mut expected: Vec<_> = hostile.map(str::to_owned).into();
    expected.sort();
    assert_eq!(names(&store), expected);
    store.close().unwrap();

    // Nothing stands where nothing is to stand, and no two directories are one where case doesn't count.
    let entries = |path: &Path| -> Vec<String> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(
        (entries(dir.path()), entries(&dir.path().join("in"))),
        (vec!["in".to_owned()], vec!["store".to_owned()])
    );
    let folders: Vec<_> = entries(&path).into_iter().filter(|name| !name.starts_with("store.")).collect();
    assert_eq!(folders.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>().len(), hostile.len());
    assert!(
        folders
            .iter()
            .all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'%')))
    );

    let reader = StoreReader::open(&path).unwrap();
    for (n, name) in hostile.iter().enumerate() {
        let stream = reader.stream(&StreamName::new(name).unwrap()).unwrap();
        assert_eq!(stream.get(0).unwrap().unwrap().decode::<Event>().unwrap(), event(n as u64), "{name:?}");
        assert_eq!(stream.end_seq(), 1);
    }
}

#[cfg(unix)]
#[test]
fn links_that_were_planted_are_not_followed() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (path, outside) = (dir.path().join("store"), dir.path().join("outside"));
    let store = few(4).open_or_create(&path).unwrap();
    store.stream("honest").unwrap().append(&event(1)).unwrap();

    // To a log, to an empty directory, to nothing, to a file, and to another stream.
    let log = Options::new().create(outside.join("log")).unwrap();
    log.append(&event(7)).unwrap();
    log.close().unwrap();
    std::fs::create_dir(outside.join("empty")).unwrap();
    std::fs::write(outside.join("file"), b"precious").unwrap();
    for (name, target) in
        [("log", outside.join("log")), ("empty", outside.join("empty")), ("nothing", outside.join("nothing"))]
    {
        symlink(target, path.join(name)).unwrap();
    }
    symlink(outside.join("file"), path.join("file")).unwrap();
    symlink("honest", path.join("alias")).unwrap();
    std::fs::write(path.join("plain"), b"no directory").unwrap();
    let before = tree(&outside);

    let reader = StoreReader::open(&path).unwrap();
    for name in ["log", "empty", "nothing", "file", "alias", "plain"] {
        let refused = store.stream(name).unwrap().append(&event(2)).unwrap_err();
        assert!(refused.to_string().contains("not a directory"), "{name}: {refused}");
        let refused = reader.stream(&StreamName::new(name).unwrap());
        assert!(matches!(refused, Err(Error::NoStream { .. })), "{name}: {refused:?}");
    }
    assert_eq!(names(&store), ["honest"]);
    assert_eq!(store.stream("honest").unwrap().append(&event(3)).unwrap(), 1, "the others go on");
    store.close().unwrap();
    assert_eq!(tree(&outside), before);
    assert_eq!(std::fs::read(outside.join("file")).unwrap(), b"precious");
}

#[cfg(unix)]
#[test]
fn what_a_writer_writes_to_is_never_what_a_link_leads_to() {
    for name in ["lock", "head"] {
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("store"), dir.path().join("precious"));
        let store = few(4).open_or_create(&path).unwrap();
        store.stream("web").unwrap().append(&event(1)).unwrap();
        store.close().unwrap();
        let planted = path.join("web").join(name);
        std::fs::remove_file(&planted).unwrap();
        std::os::unix::fs::symlink(&precious, &planted).unwrap();

        let store = few(4).open_or_create(&path).unwrap();
        for precious_is_there in [false, true] {
            if precious_is_there {
                std::fs::write(&precious, b"precious").unwrap();
            }
            let refused = store.stream("web").unwrap().append(&event(2)).unwrap_err();
            assert!(refused.to_string().contains("symbolic link"), "{name}: {refused}");
            assert_eq!(precious.exists(), precious_is_there, "{name}");
        }
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious", "{name}");
        std::fs::remove_file(&planted).unwrap();
        assert_eq!(store.stream("web").unwrap().append(&event(2)).unwrap(), 1, "{name}");
        store.close().unwrap();
    }
}

#[test]
fn a_log_and_a_store_are_never_mistaken_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (store, log) = (dir.path().join("store"), dir.path().join("log"));
    few(2).open_or_create(&store).unwrap().close().unwrap();
    Options::new().create(&log).unwrap().close().unwrap();
    let before = (tree(&store), tree(&log));

    assert!(matches!(Options::new().open(&store), Err(Error::IsAStore { .. })));
    assert!(matches!(Options::new().open_or_create(&store), Err(Error::IsAStore { .. })));
    assert!(matches!(Options::new().create(&store), Err(Error::IsAStore { .. })));
    assert!(matches!(Reader::open(&store), Err(Error::IsAStore { .. })));
    assert!(matches!(few(2).open(&log), Err(Error::NotAStore { .. })));
    assert!(matches!(few(2).open_or_create(&log), Err(Error::NotAStore { .. })));
    assert!(matches!(StoreReader::open(&log), Err(Error::NotAStore { .. })));
    assert_eq!((tree(&store), tree(&log)), before);

    // A log that a store's identity was planted in stays a log.
    std::fs::copy(store.join("store.id"), log.join("store.id")).unwrap();
    Options::new().open(&log).unwrap().close().unwrap();
    Reader::open(&log).unwrap();
    assert!(matches!(few(2).open_or_create(&log), Err(Error::NotAStore { .. })));
    assert!(matches!(StoreReader::open(&log), Err(Error::NotAStore { .. })));

    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        assert!(matches!(few(2).open(&path), Err(Error::NotAStore { .. })));
        assert!(matches!(StoreReader::open(&path), Err(Error::NotAStore { .. })));
    }
    assert!(matches!(few(2).open_or_create(dir.path()), Err(Error::NotEmpty { .. })), "there are other directories");
    assert!(!dir.path().join("missing").exists());
}

#[test]
fn an_identity_that_is_damaged_keeps_nobody_from_reading() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(2).open_or_create(dir.path()).unwrap();
    let id = store.id();
    store.stream("web").unwrap().append(&event(1)).unwrap();
    store.close().unwrap();
    let path = dir.path().join("store.id");
    let good = std::fs::read(&path).unwrap();

    let mut bytes = good.clone();
    bytes[40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    assert_eq!((reader.id(), reader.damage().len()), (Some(id), 1));
    few(2).open(dir.path()).unwrap().close().unwrap();

    bytes[200] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    assert_eq!((reader.id(), reader.damage().len(), reader.streams().unwrap().len()), (None, 2, 1));
    assert!(matches!(few(2).open(dir.path()), Err(Error::Damaged(_))));
}

#[test]
fn every_stream_is_an_ordinary_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(2).open_or_create(dir.path()).unwrap();
    for n in 0..10 {
        store.stream("web").unwrap().append_at(at(n), &event(n)).unwrap();
    }
    let path = dir.path().join("web");
    assert!(matches!(Options::new().open(&path), Err(Error::Locked { .. })));
    assert_eq!(Reader::open(&path).unwrap().end_seq(), 10, "what is acknowledged is seen beside the writer");
    assert!(matches!(few(2).open(dir.path()), Err(Error::Locked { .. })), "one writer of a store");
    store.close().unwrap();

    let log = Options::new().open(&path).unwrap();
    assert!(log.recovery().clean);
    log.append_at(at(10), &event(10)).unwrap();
    log.seal().unwrap();
    log.close().unwrap();
    let store = few(2).open(dir.path()).unwrap();
    assert_eq!(store.stream("web").unwrap().append_at(at(11), &event(11)).unwrap(), 11);
    let all = store.stream("web").unwrap().with(|log| log.reader().scan(ScanRange::all())).unwrap();
    let found: Vec<Event> = all.map(|record| record.unwrap().decode().unwrap()).collect();
    assert_eq!(found, (0..12).map(event).collect::<Vec<_>>());
}

#[test]
fn looking_creates_no_stream() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(2).open_or_create(dir.path()).unwrap();
    let stream = store.stream("web").unwrap();
    let reader = store.reader().unwrap();
    assert!(matches!(reader.stream(stream.name()), Err(Error::NoStream { .. })));
    // A batch that can't be encoded never asks for the stream's log.
    assert!(stream.append(&7).is_err());
    assert_eq!((names(&store), dir.path().join("web").exists()), (vec![], false));
    // What was begun and came to nothing is none either, and doesn't stand in the way.
    std::fs::create_dir(dir.path().join("web")).unwrap();
    std::fs::write(dir.path().join("web/lock"), b"").unwrap();
    std::fs::write(dir.path().join("web/identity.tmp"), b"half").unwrap();
    std::fs::create_dir(dir.path().join("Other")).unwrap();
    assert_eq!(names(&store), [""; 0]);
    stream.append(&event(1)).unwrap();
    assert_eq!(names(&store), ["web"]);
}

/// Appends at random to more streams than may be open, through several lives of the store, and compares with maps of vectors.
#[test]
fn streams_that_come_and_go_hold_what_was_appended() {
    for seed in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut model: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let streams = Options::new().segment_bytes(64 << 10);
        let options = few(3).streams(streams).background(Background::Manual).idle_close(Duration::from_millis(1));
        let mut n = 0;
        for _ in 0..3 {
            let store = options.open_or_create(dir.path()).unwrap();
            for _ in 0..60 {
                let name = format!("Stream {}", random.below(8));
                let stream = store.stream(&name).unwrap();
                let expected = model.entry(name).or_default();
                let count = [1, 1, 1, 20][random.below(4) as usize];
                let mut batch = Batch::new();
                for _ in 0..count {
                    n += 1;
                    batch.push_at(at(n), &event(n)).unwrap();
                    expected.push(n);
                }
                let seqs = stream.append_batch(&mut batch).unwrap();
                assert_eq!((seqs.end, seqs.end - seqs.start), (expected.len() as u64, count));
                assert!(store.open_streams() <= 3);
                match random.below(12) {
                    0 => store.maintain().unwrap(),
                    1 => drop(stream.with(|log| log.seal()).unwrap()),
                    2 => store.sync().unwrap(),
                    _ => {}
                }
            }
            assert_eq!(names(&store), model.keys().cloned().collect::<Vec<_>>());
            store.close().unwrap();
        }
        let reader = StoreReader::open(dir.path()).unwrap();
        for (name, expected) in &model {
            let stream = reader.stream(&StreamName::new(name).unwrap()).unwrap();
            let found: Vec<u64> =
                stream.scan(ScanRange::all()).unwrap().map(|r| r.unwrap().decode::<Event>().unwrap().n).collect();
            assert_eq!(&found, expected, "seed {seed}, {name}");
            assert!(stream.verify(&mut |_| ()).unwrap().is_sound());
            assert!(stream.info().unwrap().segments.len() < 40, "small segments are merged");
        }
    }
}

#[test]
fn threads_append_to_more_streams_than_may_be_open() {
    const THREADS: u64 = 8;
    const STREAMS: u64 = 10;
    const EACH: u64 = 30;
    let dir = tempfile::tempdir().unwrap();
    // Idle at once, so that the keeper closes streams that others are about to use.
    let store = few(3).idle_close(Duration::from_nanos(1)).open_or_create(dir.path()).unwrap();
    let acknowledged: Vec<Vec<(u64, u64, u64)>> = std::thread::scope(|scope| {
        let append = |thread: u64| {
            let (store, mut random) = (&store, Random(thread));
            move || {
                let mut done = Vec::new();
                for n in 0..EACH {
                    let stream = random.below(STREAMS);
                    let n = thread * EACH + n;
                    let seq = store.stream(&format!("s{stream}")).unwrap().append(&event(n)).unwrap();
                    done.push((stream, seq, n));
                }
                done
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(append(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    store.close().unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    let mut found = BTreeMap::new();
    for name in reader.streams().unwrap() {
        let stream: u64 = name.as_str()[1..].parse().unwrap();
        for record in reader.stream(&name).unwrap().scan(ScanRange::all()).unwrap() {
            let record = record.unwrap();
            found.insert((stream, record.seq()), record.decode::<Event>().unwrap().n);
        }
    }
    assert_eq!(found.len() as u64, THREADS * EACH);
    for thread in &acknowledged {
        let mut last = BTreeMap::new();
        for (stream, seq, n) in thread {
            assert_eq!(found[&(*stream, *seq)], *n);
            assert!(last.insert(stream, seq).is_none_or(|before| before < seq), "out of order within a thread");
        }
    }
}

#[test]
fn who_holds_a_stream_waits_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(2).open_or_create(dir.path()).unwrap();
    let nested = |outer: &str, inner: &str| {
        store.stream(outer).unwrap().with(|log| {
            store.stream(inner).unwrap().with(|_| store.stream("third").unwrap().append(&event(1)))?;
            log.append(&event(2))
        })
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| nested("a", "b").unwrap());
            scope.spawn(|| nested("b", "a").unwrap());
        }
    });
    let reader = store.reader().unwrap();
    let count = |name: &str| reader.stream(&StreamName::new(name).unwrap()).unwrap().end_seq();
    assert_eq!((count("a"), count("b"), count("third")), (8, 8, 16));
}

#[test]
fn idle_streams_are_closed_and_open_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = few(4).background(Background::Manual).idle_close(Duration::from_millis(1));
    let store = options.open_or_create(dir.path()).unwrap();
    let stream = store.stream("web").unwrap();
    assert_eq!((stream.append(&event(1)).unwrap(), store.open_streams()), (0, 1));
    std::thread::sleep(Duration::from_millis(5));
    store.maintain().unwrap();
    assert_eq!(store.open_streams(), 0);
    // Nobody holds it: another process could have it now.
    Options::new().open(dir.path().join("web")).unwrap().close().unwrap();
    assert_eq!((stream.append(&event(2)).unwrap(), store.open_streams()), (1, 1));
    assert!(store.recoveries().is_empty(), "they were closed properly");
    // So it is by itself.
    drop(store);
    let store = few(4).idle_close(Duration::from_millis(1)).open_or_create(dir.path()).unwrap();
    store.stream("web").unwrap().append(&event(3)).unwrap();
    while store.open_streams() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn full_segments_of_all_streams_are_sealed_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let streams = Options::new().segment_bytes(64 << 10).index_fields(["n".parse().unwrap()]);
    let store = few(3).streams(streams).open_or_create(dir.path()).unwrap();
    let reader = store.reader().unwrap();
    for round in 0..4 {
        for name in ["a", "b"] {
            let mut batch = Batch::new();
            (0..600).for_each(|n| batch.push(&event(n)).unwrap());
            store.stream(name).unwrap().append_batch(&mut batch).unwrap();
            let sealed = |name: &str| {
                let info = reader.stream(&StreamName::new(name).unwrap()).unwrap().info().unwrap();
                info.segments.iter().filter(|segment| segment.sealed).count()
            };
            // As often as a segment was full, and soon.
            let began = std::time::Instant::now();
            while round >= 2 && sealed(name) == 0 {
                assert!(began.elapsed() < Duration::from_secs(300), "nobody seals");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    store.close().unwrap();
    for name in reader.streams().unwrap() {
        let stream = reader.stream(&name).unwrap();
        assert!(stream.verify(&mut |_| ()).unwrap().is_sound());
        let query = Query::default().filter("n = 7".parse().unwrap());
        let mut matches = stream.query(&query).unwrap();
        assert_eq!(std::iter::from_fn(|| matches.advance().unwrap().map(|_| ())).count(), 4);
        assert!(matches.stats().segments_by_index > 0, "an index was made");
    }
}

#[test]
fn a_store_that_is_closed_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(2).open_or_create(dir.path()).unwrap();
    let stream = store.stream("web").unwrap();
    stream.append(&event(1)).unwrap();
    store.close().unwrap();
    assert!(matches!(stream.append(&event(2)), Err(Error::Closed)));
    few(2).open(dir.path()).unwrap();
    for wrong in [few(2).open_streams(1), few(4).memory_bytes(400 << 10), few(2).idle_close(Duration::ZERO)] {
        assert!(matches!(wrong.open(dir.path()), Err(Error::InvalidOption { .. })));
    }
}

#[test]
fn a_stream_that_was_not_closed_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(2).open_or_create(dir.path().join("store")).unwrap();
    store.stream("web").unwrap().append(&event(1)).unwrap();
    store.stream("db").unwrap().append(&event(1)).unwrap();
    store.stream("web").unwrap().append(&event(2)).unwrap();
    store.stream("third").unwrap().append(&event(1)).unwrap();
    // As if the process had been killed: a copy of what is there. The stream db was closed for the third.
    let copy = dir.path().join("copy");
    for entry in tree(&dir.path().join("store")) {
        let to = copy.join(Path::new(&entry).strip_prefix(dir.path().join("store")).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        if Path::new(&entry).is_file() {
            std::fs::copy(&entry, to).unwrap();
        }
    }
    let again = few(2).open(&copy).unwrap();
    assert!(again.recoveries().is_empty(), "nothing was opened yet");
    for (name, seq) in [("web", 2), ("db", 1), ("third", 1)] {
        assert_eq!(again.stream(name).unwrap().append(&event(9)).unwrap(), seq);
    }
    let told: Vec<String> = again.recoveries().iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(told, ["third", "web"]);
}

/// The merge by its definition, over vectors.
fn merged(streams: &BTreeMap<String, Vec<(Timestamp, u64)>>, reverse: bool) -> Vec<(String, u64)> {
    let mut left = streams.clone();
    let mut all = Vec::new();
    loop {
        let heads = left.iter().filter_map(|(name, records)| {
            let head = if reverse { records.last() } else { records.first() };
            head.map(|(time, _)| (*time, name.clone()))
        });
        let Some((_, name)) = (if reverse { heads.max() } else { heads.min() }) else { return all };
        let records = left.get_mut(&name).unwrap();
        let (_, n) = if reverse { records.pop().unwrap() } else { records.remove(0) };
        all.push((name, n));
    }
}

#[test]
fn streams_are_merged_by_time_and_then_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(3).open_or_create(dir.path()).unwrap();
    let mut random = Random(5);
    let mut model: BTreeMap<String, Vec<(Timestamp, u64)>> = BTreeMap::new();
    for n in 0..400 {
        let name = ["b", "a", "Z", "caf\u{e9}"][random.below(4) as usize];
        // Many have the same time, and some go back.
        let time = at(n / 20 + random.below(3));
        store.stream(name).unwrap().append_at(time, &event(n)).unwrap();
        model.entry(name.to_owned()).or_default().push((time, n));
        if random.below(40) == 0 {
            store.stream(name).unwrap().with(|log| log.seal()).unwrap();
        }
    }
    let reader = store.reader().unwrap();
    let run = |names: &[StreamName], query: &Query| -> Vec<(String, u64)> {
        let mut matches = reader.query(names, query).unwrap();
        let mut found = Vec::new();
        while let Some((name, record)) = matches.advance().unwrap() {
            let n = record.decode::<BTreeMap<String, serde_json::Value>>().unwrap()["n"].as_u64().unwrap();
            found.push((name.to_string(), n));
        }
        assert!(matches.stats().records_matched >= found.len() as u64);
        found
    };
    let all = reader.streams().unwrap();
    assert_eq!(all.iter().map(StreamName::as_str).collect::<Vec<_>>(), ["Z", "a", "b", "caf\u{e9}"]);
    for threads in [1, 2, 16] {
        for reverse in [false, true] {
            let range = ScanRange::all().threads(threads);
            let range = if reverse { range.reverse() } else { range };
            let expected = merged(&model, reverse);
            assert_eq!(run(&all, &Query::over(range)), expected);
            assert_eq!(run(&all, &Query::over(range).limit(7)), expected[..7]);
            let even: Vec<_> = expected.iter().filter(|(_, n)| (100..200).contains(n)).cloned().collect();
            let chosen = "n >= 100 and n < 200".parse().unwrap();
            let query = Query::over(range).filter(chosen).project(["n".parse().unwrap()]);
            let mut found = run(&all, &query);
            let mut sorted = even.clone();
            found.sort();
            sorted.sort();
            assert_eq!(found, sorted);
            // Some of them, named in any order and twice.
            let some = ["b", "a", "b"].map(|name| StreamName::new(name).unwrap());
            let part = model.clone().into_iter().filter(|(name, _)| ["a", "b"].contains(&&name[..])).collect();
            assert_eq!(run(&some, &Query::over(range)), merged(&part, reverse));
        }
    }
    assert_eq!(run(&[], &Query::default()), []);
    let missing = reader.query(&[StreamName::new("missing").unwrap()], &Query::default());
    assert!(matches!(missing, Err(Error::NoStream { .. })));
}

#[test]
fn no_more_streams_are_created_than_there_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let append = |store: &Store, stream: &str, n| store.stream(stream).unwrap().append_at(at(n), &event(n));
    let store = few(2).streams_max(3).open_or_create(dir.path()).unwrap();
    for (stream, n) in ["a", "B", "../c"].into_iter().zip(0..) {
        append(&store, stream, n).unwrap();
    }
    for round in 0..3 {
        let refused = append(&store, "d", 9).unwrap_err();
        assert!(matches!(&refused, Error::TooManyStreams { most: 3, name, .. } if name.as_str() == "d"), "{refused}");
        assert!(refused.to_string().contains("streams_max"), "{refused}");
        // Those that are there come and go as before.
        for stream in ["a", "B", "../c"] {
            assert_eq!(append(&store, stream, 10).unwrap(), round + 1);
        }
    }
    assert_eq!(names(&store), ["../c", "B", "a"]);
    assert!(!dir.path().join("d").exists(), "what is refused leaves nothing behind");
    store.close().unwrap();

    // Counted anew, by whoever opens the store: fewer may be there than there are.
    let store = few(2).streams_max(1).open(dir.path()).unwrap();
    assert_eq!(append(&store, "a", 11).unwrap(), 4);
    assert!(matches!(append(&store, "d", 11), Err(Error::TooManyStreams { most: 1, .. })));
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("a")).unwrap();
    std::fs::create_dir(dir.path().join("No stream")).unwrap();
    let store = few(2).streams_max(3).open(dir.path()).unwrap();
    append(&store, "d", 12).unwrap();
    assert!(matches!(append(&store, "a", 12), Err(Error::TooManyStreams { .. })));
    assert!(matches!(few(2).streams_max(0).open(dir.path()), Err(Error::InvalidOption { option: "streams_max", .. })));
}

#[test]
fn threads_create_as_many_streams_as_there_may_be_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(4).streams_max(23).open_or_create(dir.path()).unwrap();
    let create = |thread: usize| {
        let mut created = BTreeSet::new();
        for n in 0..40 {
            let name = format!("{}", (n * 7 + thread * 13) % 40);
            match store.stream(&name).unwrap().append(&event(n as u64)) {
                Ok(_) => drop(created.insert(name)),
                Err(Error::TooManyStreams { most: 23, .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        created
    };
    let created: BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || create(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(created.len(), 23);
    assert_eq!(names(&store).into_iter().collect::<BTreeSet<_>>(), created);
}

#[test]
fn a_place_that_was_reserved_is_kept_for_its_stream() {
    let dir = tempfile::tempdir().unwrap();
    let store = few(2).streams_max(2).open_or_create(dir.path()).unwrap();
    let stream = |name: &str| store.stream(name).unwrap();
    stream("a").append(&event(0)).unwrap();
    for _ in 0..2 {
        stream("a").reserve().unwrap();
        stream("b").reserve().unwrap();
        assert!(matches!(stream("c").reserve(), Err(Error::TooManyStreams { most: 2, .. })));
        assert!(matches!(stream("c").append(&event(1)), Err(Error::TooManyStreams { .. })));
    }
    assert_eq!(names(&store), ["a"], "nothing is created");
    stream("b").append(&event(2)).unwrap();
    stream("b").reserve().unwrap();
    assert!(matches!(stream("c").append(&event(3)), Err(Error::TooManyStreams { .. })));
    store.close().unwrap();
    // A place that nobody came to take is free again.
    let store = few(2).streams_max(3).open(dir.path()).unwrap();
    store.stream("d").unwrap().reserve().unwrap();
    store.close().unwrap();
    let store = few(2).streams_max(3).open(dir.path()).unwrap();
    store.stream("c").unwrap().append(&event(4)).unwrap();
}
