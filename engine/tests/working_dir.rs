//! A process that changes its working directory while a log is open. A program of its own, since the directory is the
//! whole process's.

use annals::{Background, Options, Reader};
use std::collections::BTreeMap;
use std::env::set_current_dir;

#[test]
fn a_log_opened_by_a_relative_path_stays_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    let options = Options::new().background(Background::Manual).segment_bytes(64 << 10);
    for place in ["a", "b"] {
        std::fs::create_dir(home.path().join(place)).unwrap();
        set_current_dir(home.path().join(place)).unwrap();
        options.create("log").unwrap().close().unwrap();
    }
    set_current_dir(home.path().join("a")).unwrap();
    let log = options.open("log").unwrap();
    let reader = Reader::open("log").unwrap();
    set_current_dir(home.path().join("b")).unwrap();
    for n in 0..100 {
        assert_eq!(log.append(&BTreeMap::from([("text", "x".repeat(2_000))])).unwrap(), n);
        assert!(reader.get(n).unwrap().is_some());
    }
    log.seal().unwrap();
    log.close().unwrap();
    let records = |place: &str| {
        let verified = Reader::open(home.path().join(place).join("log")).unwrap().verify(&mut |_| ()).unwrap();
        assert!(verified.is_sound(), "{place}: {verified:?}");
        verified.records
    };
    assert_eq!((records("a"), records("b")), (100, 0));
}
