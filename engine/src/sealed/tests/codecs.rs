//! Rows and columns side by side, measured with the code that ships: docs/decisions/0010-columns.md.
//!
//! `ANNALS_SWEEP=folder cargo test --release -p annals sealed::tests::codecs -- --ignored --nocapture` takes the first
//! 128 MiB of each NDJSON file in the folder, in segments of 32 MiB. `ANNALS_SWEEP_RECORDS` and `ANNALS_SWEEP_BYTES` are lists of
//! the most records and the most bytes of a block of columns, `ANNALS_SWEEP_LEVELS` one of zstd levels.

use super::fixture::{Owned, Sealed};
use crate::options::Codec;
use crate::sealed::index::build_index;
use crate::sealed::{BlockBuf, FileDictionary, SealOptions, SealedFile, learn_columns, train_dictionary};
use std::time::Duration;

const TEXT_BYTES_MAX: usize = 128 << 20;
const SEGMENT_BYTES: usize = 32 << 20;
/// The time of a get is the mean of so many random ones, in the best of [`ROUNDS`].
const GETS: usize = 2_000;
const ROUNDS: usize = 5;

/// The time that this thread was on a processor: other programs may run beside it.
struct Clock(u64);

impl Clock {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        Self(text.split(' ').next().and_then(|number| number.parse().ok()).expect("nanoseconds"))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(Self::now().0 - self.0)
    }
}

fn numbers(name: &str, default: &str) -> Vec<usize> {
    let text = std::env::var(name).unwrap_or(default.to_owned());
    text.split(',').map(|number| number.parse().expect("numbers")).collect()
}

#[test]
#[ignore = "a measurement, not a test"]
fn codecs() {
    let folder = std::env::var("ANNALS_SWEEP").expect("ANNALS_SWEEP names a folder of NDJSON files");
    println!("| data | codec | ratio | to `zstd -3` | B/event | get µs | learn MB/s | encode MB/s | decode MB/s |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let data = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (segments, text) = load(&std::fs::read(&path).unwrap());
        let whole = zstd::bulk::compress(&text, 3).unwrap().len();
        for level in numbers("ANNALS_SWEEP_LEVELS", "3") {
            let rows = SealOptions { level: level as i32, ..SealOptions::default() };
            measure(&format!("{data} | rows, {level}"), &segments, text.len(), whole, &rows);
            for column_records in numbers("ANNALS_SWEEP_RECORDS", "128") {
                for column_bytes in numbers("ANNALS_SWEEP_BYTES", "16384") {
                    let options = SealOptions { codec: Codec::Columns, column_records, column_bytes, ..rows };
                    let name = format!("{data} | columns, {column_records} x {} KiB, {level}", column_bytes >> 10);
                    measure(&name, &segments, text.len(), whole, &options);
                }
            }
        }
    }
}

/// The records of each segment, and their text.
fn load(text: &[u8]) -> (Vec<Vec<Owned>>, Vec<u8>) {
    let (mut segments, mut taken, mut bytes, mut seq) = (vec![Vec::new()], 0, 0, 0u64);
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if taken + line.len() + 1 > TEXT_BYTES_MAX {
            break;
        }
        if bytes + line.len() > SEGMENT_BYTES {
            segments.push(Vec::new());
            bytes = 0;
        }
        (taken, bytes) = (taken + line.len() + 1, bytes + line.len() + 1);
        let mut body = Vec::new();
        crate::json::to_msgpack(line, &mut body).unwrap();
        // A clock's times: some microseconds between one and the next, never the same.
        let time = 1_760_000_000_000_000 + seq as i64 * 977 + (seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as i64;
        let segment = segments.last_mut().expect("there is one");
        segment.push(Owned { seq, run: 1, time, key: Vec::new(), body });
        seq += 1;
    }
    (segments, text[..taken].to_vec())
}

fn dictionary(records: &[Owned], options: &SealOptions) -> Option<FileDictionary> {
    let bytes: usize = records.iter().map(|record| record.body.len()).sum();
    let every = (bytes / options.sample_bytes().max(1)).max(1);
    let sampled = records.iter().step_by(every);
    match options.codec {
        Codec::Columns => {
            let samples: Vec<(i64, &[u8])> = sampled.map(|record| (record.time, &record.body[..])).collect();
            learn_columns(&samples, options)
        }
        Codec::Rows => {
            let samples: Vec<&[u8]> = sampled.map(|record| &record.body[..]).collect();
            train_dictionary(&samples, bytes as u64, options, None).map(FileDictionary::Rows)
        }
    }
}

fn measure(name: &str, segments: &[Vec<Owned>], text_bytes: usize, whole: usize, options: &SealOptions) {
    let (mut bytes, mut body_bytes, mut records) = (0, 0, 0);
    let (mut learning, mut encoding, mut decoding) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut files: Vec<(Sealed, SealedFile)> = Vec::new();
    for segment in segments {
        let clock = Clock::now();
        let dictionary = dictionary(segment, options);
        learning += clock.elapsed();
        let plain = dictionary.as_ref().map(|dictionary| dictionary.plain().into_owned());
        let sealed = Sealed::new(segment.clone(), plain.as_deref(), options);
        let clock = Clock::now();
        sealed.seal_again(plain.as_deref(), options);
        encoding += clock.elapsed();
        let file = sealed.open().unwrap();
        bytes += sealed.summary.file_bytes as usize + build_index(&*sealed.disk, &file).unwrap().len();
        body_bytes += segment.iter().map(|record| record.body.len()).sum::<usize>();
        records += segment.len();
        let (clock, mut buffer) = (Clock::now(), BlockBuf::new());
        for n in 0..file.block_count().unwrap() {
            file.read_block(n, &mut buffer).unwrap();
            assert_eq!(buffer.iter().count() as u64, Sealed::block_seqs(&file, n).count() as u64);
        }
        decoding += clock.elapsed();
        files.push((sealed, file));
    }
    let (mut buffer, mut state, mut get) = (BlockBuf::new(), 1u64, f64::MAX);
    for _ in 0..ROUNDS {
        let clock = Clock::now();
        for _ in 0..GETS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let seq = (state >> 33) % records as u64;
            let (_, file) = files.iter().find(|(_, file)| file.seqs().contains(&seq)).unwrap();
            file.seek(seq, &mut buffer).unwrap();
            assert!(buffer.get(seq).is_some());
        }
        get = get.min(clock.elapsed().as_secs_f64() * 1e6 / GETS as f64);
    }
    let speed = |time: Duration| body_bytes as f64 / 1e6 / time.as_secs_f64().max(1e-6);
    println!(
        "| {name} | {:.2} | {:.2} | {:.1} | {get:.1} | {:.0} | {:.0} | {:.0} |",
        text_bytes as f64 / bytes as f64,
        bytes as f64 / whole as f64,
        bytes as f64 / records as f64,
        speed(learning),
        speed(encoding),
        speed(decoding),
    );
}
