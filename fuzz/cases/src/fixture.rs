//! A small log with every kind of file, what it holds, and what has to be true of it after its files were changed.

use annals::storage::sim::SimDisk;
use annals::{Background, Batch, Error, Options, Reader, RecordBuf, ScanRange, Timestamp};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The seed of the disk that the log is made on: a reader on another believes that the machine was restarted.
pub(crate) const SEED: u64 = 1;

pub(crate) struct Fixture {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) records: Vec<RecordBuf>,
}

pub(crate) fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

fn body(n: i64) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("n", n.to_string()), ("text", format!("{n}-").repeat(if n % 7 == 0 { 900 } else { 20 }))])
}

/// A sealed segment of several blocks with its index, a closed raw segment, and one that was not closed.
pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let disk = SimDisk::new(SEED);
        let log = options().open_or_create_on(disk.storage()).expect("an empty disk takes a log");
        for n in 0..40 {
            log.append_at(Timestamp::from_micros(n * 1_000), &body(n)).expect("append");
        }
        log.seal().expect("seal");
        let mut batch = Batch::new();
        (40..45).for_each(|n| batch.push_at(Timestamp::from_micros(n), &body(n)).expect("push"));
        log.append_batch(&mut batch).expect("append");
        log.close().expect("close");
        let log = options().open_or_create_on(disk.storage()).expect("a closed log opens");
        for n in 45..49 {
            log.append_at(Timestamp::from_micros(-n), &body(n)).expect("append");
        }
        let records = log.reader().scan(ScanRange::all()).expect("scan").map(|record| record.expect("sound")).collect();
        let files = disk.files().into_iter().map(|(name, _)| {
            let mut bytes = disk.read(&name).expect("listed");
            // The space that is not used yet, but for some of it.
            let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(if name.ends_with(".log") { used.next_multiple_of(512) + 512 } else { bytes.len() });
            (name, bytes)
        });
        Fixture { files: files.collect(), records }
    })
}

impl Fixture {
    pub(crate) fn file(&self, ending: &str) -> &(String, Vec<u8>) {
        self.files.iter().find(|(name, _)| name.ends_with(ending)).expect("the log has one")
    }
}

/// A disk with these files.
pub(crate) fn disk<'a>(seed: u64, files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> SimDisk {
    let disk = SimDisk::new(seed);
    files.into_iter().for_each(|(name, bytes)| disk.replace(name, bytes));
    disk
}

/// What a reader may be refused with: the bytes on the disk are not those of a log that this version reads.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Damaged(_) | Error::Unsupported { .. } | Error::NotALog { .. } | Error::Removed(_))
}

/// Reads, verifies, opens, seals and appends. `allowed` says of a record whether it may be returned; records come in
/// order and once whatever stands in the files; and what a reader could read before a writer opened the log, it can
/// read after.
pub(crate) fn exercise(disk: &SimDisk, allowed: &dyn Fn(&RecordBuf) -> bool) {
    let before = disk.files();
    let mut readable = BTreeMap::new();
    match Reader::open_on(disk.storage()) {
        Ok(reader) => readable = read(&reader, allowed),
        Err(error) => assert!(is_refusal(&error), "{error}"),
    }
    assert_eq!(before, disk.files(), "a reader changed something");
    match options().open_or_create_on(disk.storage()) {
        Ok(log) => {
            let next = log.next_seq();
            match log.append(&body(1)) {
                Ok(seq) => {
                    assert_eq!(seq, next);
                    assert_eq!(log.get(seq).expect("sound").expect("there").seq(), seq);
                }
                // Seqs end at 2^63.
                Err(Error::TooLarge { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            match log.seal() {
                // A body that was forged may be no MessagePack: no shape can be told of it.
                Ok(_) | Err(Error::InvalidBody(_)) => {}
                Err(error) => assert!(is_refusal(&error), "{error}"),
            }
            let after = read(&log.reader(), &|record| record.seq() == next || allowed(record));
            for (seq, body) in readable {
                assert!(after.get(&seq) == Some(&body), "record {seq} was there before the log was opened");
            }
        }
        Err(Error::TooLarge { .. } | Error::NotEmpty { .. }) => {}
        Err(error) => assert!(is_refusal(&error), "{error}"),
    }
}

/// Reads in all ways there are. Returns the bodies of what can be read.
fn read(reader: &Reader, allowed: &dyn Fn(&RecordBuf) -> bool) -> BTreeMap<u64, Vec<u8>> {
    const STEPS_MAX: usize = 20_000;
    let mut readable = BTreeMap::new();
    for range in [ScanRange::all(), ScanRange::all().reverse()] {
        let is_reverse = range != ScanRange::all();
        let mut last: Option<u64> = None;
        let mut scan = reader.scan(range).expect("a scan begins");
        for step in 0.. {
            assert!(step < STEPS_MAX, "a scan that does not end: {last:?}");
            match scan.advance() {
                Ok(Some(record)) => {
                    let seq = record.seq();
                    assert!(last.is_none_or(|last| if is_reverse { seq < last } else { seq > last }), "{seq} again");
                    last = Some(seq);
                    assert!(allowed(&record.to_owned()), "record {seq} was never appended");
                    readable.insert(seq, record.body().to_vec());
                }
                Ok(None) => break,
                Err(Error::Damaged(_)) => {}
                Err(Error::Unsupported { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    for seq in [0, 1, 41, reader.first_seq(), reader.end_seq().wrapping_sub(1), reader.end_seq(), u64::MAX] {
        match reader.get(seq) {
            Ok(record) => assert!(record.is_none_or(|record| record.seq() == seq && allowed(&record))),
            Err(error) => assert!(is_refusal(&error), "{error}"),
        }
    }
    match reader.verify(&mut |_| ()) {
        Ok(_) => {}
        Err(error) => assert!(is_refusal(&error), "{error}"),
    }
    let _ = reader.info().map_err(|error| assert!(is_refusal(&error), "{error}"));
    match reader.shape(u64::MAX) {
        Ok(_) | Err(Error::InvalidBody(_)) => {}
        Err(error) => assert!(is_refusal(&error), "{error}"),
    }
    readable
}
