//! Block size, level and dictionary, measured with the code that ships: docs/decisions/0002-blocks-and-dictionary.md.
//!
//! `ANNALS_SWEEP=folder cargo test --release -p annals sealed::tests::sweep -- --ignored --nocapture` takes the
//! first 32 MiB of each NDJSON file in the folder.

use super::fixture::{Owned, Sealed};
use crate::sealed::index::build_index;
use crate::sealed::{BlockBuf, SealOptions, train_dictionary};
use std::time::Instant;

/// The time of a get is the mean of [`GETS`] random ones, in the best of so many rounds.
const ROUNDS: usize = 8;
const GETS: u32 = 500;
const SEGMENT_BYTES: usize = 32 << 20;

#[test]
#[ignore = "a measurement, not a test"]
fn sweep() {
    let folder = std::env::var("ANNALS_SWEEP").expect("ANNALS_SWEEP names a folder of NDJSON files");
    let numbers = |name: &str, default: &str| -> Vec<usize> {
        let text = std::env::var(name).unwrap_or(default.to_owned());
        text.split(',').map(|number| number.parse().unwrap()).collect()
    };
    let blocks = numbers("ANNALS_SWEEP_BLOCKS", "4096,8192,16384,32768,65536,131072");
    let levels = numbers("ANNALS_SWEEP_LEVELS", "1,3,6,9");
    let dictionaries = numbers("ANNALS_SWEEP_DICTIONARIES", "0,16384,32768,65536,112640");
    let training = numbers("ANNALS_SWEEP_SAMPLES", "16")[0];
    println!("| data | block | level | dictionary | ratio | B/event | seal MB/s | training ms | get µs |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let data = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (records, text_bytes) = load(&std::fs::read(&path).unwrap());
        for &level in &levels {
            for &dictionary_bytes in &dictionaries {
                for &block_bytes in &blocks {
                    let options = SealOptions {
                        block_bytes,
                        level: level as i32,
                        dictionary_bytes,
                        samples_per_dictionary: training,
                        ..SealOptions::default()
                    };
                    let line = measure(&records, text_bytes, &options);
                    println!("| {data} | {} | {level} | {} | {line} |", block_bytes >> 10, dictionary_bytes >> 10);
                }
            }
        }
    }
}

fn load(text: &[u8]) -> (Vec<Owned>, usize) {
    let mut text_bytes = 0;
    let mut records = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        text_bytes += line.len() + 1;
        if text_bytes > SEGMENT_BYTES {
            break;
        }
        let mut body = Vec::new();
        crate::json::to_msgpack(line, &mut body).unwrap();
        let seq = records.len() as u64;
        records.push(Owned { seq, run: 1, time: 1_760_000_000_000_000 + seq as i64 * 977, key: Vec::new(), body });
    }
    (records, text_bytes)
}

fn measure(records: &[Owned], text_bytes: usize, options: &SealOptions) -> String {
    let body_bytes: usize = records.iter().map(|record| record.body.len()).sum();
    let began = Instant::now();
    let every = (body_bytes / options.sample_bytes().max(1)).max(1);
    let samples: Vec<&[u8]> = records.iter().step_by(every).map(|record| &record.body[..]).collect();
    let dictionary = train_dictionary(&samples, body_bytes as u64, options, None);
    let training = began.elapsed();
    let sealed = Sealed::new(records.to_vec(), dictionary.as_deref(), options);
    // Once more, without the copying around it.
    let seal = || {
        let began = Instant::now();
        assert_eq!(sealed.seal_again(dictionary.as_deref(), options), sealed.summary.file_bytes);
        began.elapsed()
    };
    let sealing = seal().min(seal());
    let file = sealed.open().unwrap();
    let index = build_index(&*sealed.disk, &file).unwrap().len();
    let bytes = sealed.summary.file_bytes as usize + index;

    let (mut buffer, mut state, mut get) = (BlockBuf::new(), 1u64, f64::MAX);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..GETS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let seq = (state >> 33) % records.len() as u64;
            file.seek(seq, &mut buffer).unwrap();
            assert!(buffer.get(seq).is_some());
        }
        get = get.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(GETS));
    }
    format!(
        "{:.2} | {:.1} | {:.0} | {:.0}{} | {get:.1}",
        text_bytes as f64 / bytes as f64,
        bytes as f64 / records.len() as f64,
        body_bytes as f64 / 1e6 / sealing.as_secs_f64(),
        training.as_secs_f64() * 1e3,
        if dictionary.is_none() && options.dictionary_bytes > 0 { " (does not pay)" } else { "" },
    )
}
