//! Properties: any sequence of operations leaves a log that reads like the list of what was appended; what goes into a log
//! as JSON comes out as the same JSON, wherever it stands by then.
//!
//! `ANNALS_CASES` says how many sequences are tried, `ANNALS_SEED` where they begin: the same two numbers try the same ones
//! again, and proptest prints the smallest that fails.

use annals::storage::sim::{Loss, SimDisk};
use annals::{Background, Batch, Durability, Log, Options, Reader, RecordBuf, ScanRange, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::BTreeMap;
use std::time::Duration;

type Body = BTreeMap<String, (i64, String, Vec<u8>, Option<f64>)>;

fn config(cases: u32) -> ProptestConfig {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    ProptestConfig {
        cases: number("ANNALS_CASES").map_or(cases, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(number("ANNALS_SEED").unwrap_or(42)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[derive(Debug, Clone)]
enum Transition {
    Append(Vec<(i64, Body)>, Durability),
    Sync,
    Maintain,
    Seal,
    Clock(i64),
    /// Closes the log, or ends its process; and opens it again with this durability.
    Reopen(bool, Durability),
    Crash(usize, u64),
    Get(u64),
    Scan {
        seqs: (u64, u64),
        times: Option<(i64, i64)>,
        reverse: bool,
    },
    Tail(u64),
}

fn durability() -> impl Strategy<Value = Durability> {
    let interval = Duration::from_secs(1);
    prop_oneof![
        3 => Just(Durability::Durable),
        1 => Just(Durability::Written),
        1 => Just(Durability::Buffered { interval }),
    ]
}

/// Few times, so that ranges begin and end at records; and all others.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![6 => -5..40i64, 1 => any::<i64>()]
}

fn body() -> impl Strategy<Value = Body> {
    let value = (any::<i64>(), ".{0,20}", prop::collection::vec(any::<u8>(), 0..300), any::<Option<f64>>());
    let value = value.prop_map(|(n, text, bytes, float)| (n, text, bytes, float.filter(|float| !float.is_nan())));
    prop::collection::btree_map("[a-z]{1,5}", value, 0..4)
}

/// What a sequence may look like; what it does to a log is [`Tested`]'s to say.
#[derive(Debug)]
struct Sequences;

impl ReferenceStateMachine for Sequences {
    /// At most so many records.
    type State = u64;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<u64> {
        Just(0).boxed()
    }

    fn transitions(records: &u64) -> BoxedStrategy<Transition> {
        let seq = 0..records + 2;
        let scan = (seq.clone(), seq.clone(), prop::option::of((time(), time())), any::<bool>());
        let scan =
            scan.prop_map(|(first, end, times, reverse)| Transition::Scan { seqs: (first, end), times, reverse });
        let records = prop_oneof![4 => 1..2usize, 2 => 0..9usize, 1 => 0..60usize]
            .prop_flat_map(|count| prop::collection::vec((time(), body()), count));
        prop_oneof![
            8 => (records, durability()).prop_map(|(records, durability)| Transition::Append(records, durability)),
            1 => Just(Transition::Sync),
            2 => Just(Transition::Maintain),
            1 => Just(Transition::Seal),
            1 => any::<i64>().prop_map(|by| Transition::Clock(by >> 20)),
            1 => (any::<bool>(), durability()).prop_map(|(close, durability)| Transition::Reopen(close, durability)),
            1 => (0..Loss::ALL.len(), any::<u64>()).prop_map(|(loss, seed)| Transition::Crash(loss, seed)),
            2 => seq.clone().prop_map(Transition::Get),
            3 => scan,
            1 => seq.prop_map(Transition::Tail),
        ]
        .boxed()
    }

    fn apply(records: u64, transition: &Transition) -> u64 {
        match transition {
            Transition::Append(appended, _) => records + appended.len() as u64,
            _ => records,
        }
    }
}

/// A log, and the list of what was appended to it.
struct Tested {
    disk: SimDisk,
    log: Option<Log>,
    durability: Durability,
    records: Vec<(i64, Body)>,
    /// Where batches end.
    ends: Vec<usize>,
    durable: usize,
    written: usize,
}

impl Tested {
    fn log(&self) -> &Log {
        self.log.as_ref().expect("open between any two transitions")
    }

    /// Opens the log, which must have so many of its records.
    fn open(&mut self, must: usize) {
        let options = Options::new().background(Background::Manual).segment_bytes(64 << 10).roll_daily(true);
        let log = options.durability(self.durability).open_or_create_on(self.disk.storage()).unwrap();
        assert!(log.recovery().is_complete(), "{:?}", log.recovery());
        let found = log.next_seq() as usize;
        assert!(must <= found && found <= self.records.len(), "{must} <= {found} <= {}", self.records.len());
        assert!(found == 0 || self.ends.contains(&found), "a batch was torn at {found}");
        self.records.truncate(found);
        self.ends.retain(|end| *end <= found);
        (self.durable, self.written) = (found, found);
        self.log = Some(log);
    }

    fn append(&mut self, records: Vec<(i64, Body)>, durability: Durability) {
        let mut batch = Batch::new();
        for (time, body) in &records {
            batch.push_at(Timestamp::from_micros(*time), body).unwrap();
        }
        let first = self.records.len();
        let count = records.len();
        self.records.extend(records);
        let end = self.records.len();
        assert_eq!(self.log().append_batch_with(&mut batch, durability).unwrap(), first as u64..end as u64);
        if count > 0 {
            self.ends.push(end);
            match durability.max(self.durability) {
                Durability::Durable => (self.durable, self.written) = (end, end),
                Durability::Written => self.written = end,
                Durability::Buffered { .. } => {}
            }
        }
    }

    fn all_durable(&mut self) {
        (self.durable, self.written) = (self.records.len(), self.records.len());
    }

    fn is(&self, seq: usize, record: &RecordBuf) {
        let (time, body) = &self.records[seq];
        assert_eq!((record.seq(), record.timestamp().as_micros()), (seq as u64, *time));
        assert_eq!(&record.decode::<Body>().unwrap(), body, "record {seq}");
    }

    /// Readers in this process, and beside it.
    fn readers(&self) -> [Reader; 2] {
        [self.log().reader(), Reader::open_on(self.disk.storage()).unwrap()]
    }
}

impl StateMachineTest for Tested {
    type SystemUnderTest = Self;
    type Reference = Sequences;

    fn init_test(_: &u64) -> Self {
        let disk = SimDisk::new(7);
        let durability = Durability::Durable;
        let (records, ends) = (Vec::new(), Vec::new());
        let mut tested = Self { disk, log: None, durability, records, ends, durable: 0, written: 0 };
        tested.open(0);
        tested
    }

    fn apply(mut tested: Self, _: &u64, transition: Transition) -> Self {
        match transition {
            Transition::Append(records, durability) => tested.append(records, durability),
            Transition::Sync => {
                assert_eq!(tested.log().sync().unwrap(), tested.records.len() as u64);
                tested.all_durable();
            }
            Transition::Maintain => {
                tested.log().maintain().unwrap();
                tested.all_durable();
            }
            Transition::Seal => {
                tested.log().seal().unwrap();
                tested.all_durable();
            }
            Transition::Clock(by) => tested.disk.advance_clock(by),
            Transition::Reopen(close, durability) => {
                let log = tested.log.take().expect("open between any two transitions");
                match close {
                    true => {
                        log.close().unwrap();
                        tested.all_durable();
                    }
                    false => {
                        tested.disk.stop();
                        drop(log);
                        tested.disk.restart();
                    }
                }
                tested.durability = durability;
                tested.open(tested.written);
            }
            Transition::Crash(loss, seed) => {
                let after = tested.disk.crash(Loss::ALL[loss], seed);
                tested.log = None;
                tested.disk = after;
                tested.open(tested.durable);
            }
            Transition::Get(seq) => {
                for reader in tested.readers() {
                    match reader.get(seq).unwrap() {
                        Some(record) => tested.is(seq as usize, &record),
                        None => assert!(seq >= reader.end_seq()),
                    }
                }
            }
            Transition::Scan { seqs: (first, end), times, reverse } => {
                for reader in tested.readers() {
                    let mut range = ScanRange::all().seqs(first..end);
                    if let Some((since, until)) = times {
                        range = range.since(Timestamp::from_micros(since)).until(Timestamp::from_micros(until));
                    }
                    let visible = end.min(reader.end_seq());
                    let in_time = |seq: &u64| {
                        let time = tested.records[*seq as usize].0;
                        times.is_none_or(|(since, until)| since <= time && time < until)
                    };
                    let mut expected: Vec<u64> = (first..visible.max(first)).filter(in_time).collect();
                    if reverse {
                        (range, _) = (range.reverse(), expected.reverse());
                    }
                    let found: Vec<_> = reader.scan(range).unwrap().map(|record| record.unwrap()).collect();
                    assert_eq!(found.iter().map(RecordBuf::seq).collect::<Vec<_>>(), expected, "{range:?}");
                    found.iter().for_each(|record| tested.is(record.seq() as usize, record));
                }
            }
            Transition::Tail(first) => {
                for reader in tested.readers() {
                    let mut tail = reader.tail(first);
                    let mut next = first;
                    while let Some(record) = tail.next(Some(Duration::ZERO)).unwrap() {
                        tested.is(next as usize, &record);
                        next += 1;
                    }
                    assert_eq!(next, first.max(reader.end_seq()));
                }
            }
        }
        tested
    }

    fn check_invariants(tested: &Self, _: &u64) {
        let log = tested.log();
        assert_eq!(log.next_seq(), tested.records.len() as u64);
        assert!(log.durable_seq() >= tested.durable as u64 && log.durable_seq() <= log.next_seq());
        let [live, beside] = tested.readers();
        assert_eq!(live.end_seq(), beside.end_seq());
        let least = if tested.durability == Durability::Durable { tested.durable } else { tested.written };
        assert!(live.end_seq() >= least as u64);
    }

    fn teardown(mut tested: Self, _: u64) {
        drop(tested.log.take());
        let reader = Reader::open_on(tested.disk.storage()).unwrap();
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert!(verified.is_sound() && verified.records == tested.records.len() as u64, "{verified:?}");
    }
}

prop_state_machine! {
    #![proptest_config(config(128))]

    #[test]
    fn any_sequence_of_operations_leaves_what_was_appended(sequential 1..40 => Tested);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop::collection::btree_map(".{0,8}", value, 0..6).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn json_comes_out_as_it_went_in(objects in prop::collection::vec((json(), any::<bool>()), 1..20)) {
        let disk = SimDisk::new(3);
        let options = Options::new().background(Background::Manual);
        let mut log = options.open_or_create_on(disk.storage()).unwrap();
        for (object, seals) in &objects {
            let mut body = Vec::new();
            annals::json::to_msgpack(object.to_string().as_bytes(), &mut body).unwrap();
            log.append_raw(None, &body).unwrap();
            if *seals {
                log.seal().unwrap();
                log.close().unwrap();
                log = options.open_or_create_on(disk.storage()).unwrap();
            }
        }
        for (record, (object, _)) in log.reader().scan(ScanRange::all()).unwrap().zip(&objects) {
            let mut line = Vec::new();
            record.unwrap().as_record().to_json(&mut line).unwrap();
            // Both are parsed: serde_json doesn't always find the nearest double.
            let parsed = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
            prop_assert_eq!(parsed(&line), parsed(object.to_string().as_bytes()));
        }
        prop_assert_eq!(log.next_seq(), objects.len() as u64);
    }
}
