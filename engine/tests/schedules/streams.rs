//! Threads that append to more streams than may be open.

use crate::ledger::below;
use annals::storage::sim::{Loss, SimDisk};
use annals::{Background, Durability, Options, Query, Store, StoreOptions, StoreReader};
use shuttle::thread;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

const STREAMS: [&str; 3] = ["a", "b", "c"];

/// What was acknowledged: the number of each record, by its stream and seq. No thread is switched away from while it is locked.
type Acknowledged = Mutex<BTreeMap<(String, u64), u64>>;

fn append(store: &Store, acknowledged: &Acknowledged, stream: &str, n: u64) {
    let seq = store.stream(stream).unwrap().append(&BTreeMap::from([("n", n)])).unwrap();
    let before = acknowledged.lock().unwrap().insert((stream.to_owned(), seq), n);
    assert_eq!(before, None, "seq {seq} of {stream} was given twice");
}

/// All that was acknowledged before the call is on the disk, as it was appended.
fn check(disk: &SimDisk, acknowledged: &BTreeMap<(String, u64), u64>) {
    if acknowledged.is_empty() {
        return;
    }
    let reader = StoreReader::open_on(disk.storage()).unwrap();
    let mut matches = reader.query(&reader.streams().unwrap(), &Query::default()).unwrap();
    let mut found = BTreeMap::new();
    while let Some((stream, record)) = matches.advance().unwrap() {
        let n = record.decode::<BTreeMap<String, u64>>().unwrap()["n"];
        found.insert((stream.to_string(), record.seq()), n);
    }
    for (place, n) in acknowledged {
        assert_eq!(found.get(place), Some(n), "{place:?}");
    }
}

/// Two of three streams may be open, and are idle at once: each is closed as soon as nobody uses it, by the keeper or for
/// another, while threads append to all. At some moment the power is cut.
pub(crate) fn come_and_go() {
    let disk = SimDisk::new(7);
    disk.take_direct_writes(below(2) == 0);
    let background = if below(2) == 0 { Background::Threads } else { Background::Manual };
    let options = StoreOptions::new()
        .streams(Options::new().segment_bytes(64 << 10))
        .open_streams(2)
        .memory_bytes(256 << 10)
        .idle_close(Duration::from_millis(1 + 100 * below(2)))
        .background(background);
    let store = options.open_or_create_on(disk.storage()).unwrap();
    let acknowledged = Acknowledged::default();
    thread::scope(|scope| {
        for thread in 0..3 {
            let (store, acknowledged) = (&store, &acknowledged);
            scope.spawn(move || {
                for n in 0..2 {
                    append(store, acknowledged, STREAMS[below(3) as usize], thread * 2 + n);
                }
            });
        }
        scope.spawn(|| {
            let before = acknowledged.lock().unwrap().clone();
            check(&disk.crash(Loss::Everything, 0), &before);
            store.maintain().unwrap();
        });
    });
    store.close().unwrap();
    let all = acknowledged.into_inner().unwrap();
    assert_eq!(all.len(), 6);
    check(&disk, &all);
    assert!(options.open_or_create_on(disk.storage()).unwrap().recoveries().is_empty());
}

/// Another stream takes the place of the one that was appended to, while all is synced: that is done when it is closed.
pub(crate) fn sync_beside_closing() {
    let disk = SimDisk::new(7);
    let hour = Duration::from_secs(3_600);
    let streams = Options::new().segment_bytes(64 << 10).durability(Durability::Buffered { interval: hour });
    let options = StoreOptions::new().streams(streams).open_streams(2).background(Background::Manual);
    let store = options.open_or_create_on(disk.storage()).unwrap();
    let acknowledged = Acknowledged::default();
    append(&store, &acknowledged, "a", 1);
    append(&store, &acknowledged, "b", 2);
    thread::scope(|scope| {
        scope.spawn(|| append(&store, &acknowledged, "c", 3));
        scope.spawn(|| {
            let before = acknowledged.lock().unwrap().clone();
            store.sync().unwrap();
            check(&disk.crash(Loss::Everything, 0), &before);
        });
    });
    store.close().unwrap();
}
