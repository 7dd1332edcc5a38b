//! Sizes and times of the codec alone.

use crate::columns::{Block, Dictionary, Encoder, LearnOptions, Meta, Sample, learn};

/// The time that this thread was on a processor, in seconds: other programs may run beside it.
struct Instant(f64);

impl Instant {
    fn on_processor() -> f64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
    }
    fn now() -> Self {
        Self(Self::on_processor())
    }
    fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(Self::on_processor() - self.0)
    }
}

#[test]
#[ignore = "a measurement, not a test"]
fn measure() {
    let folder = std::env::var("ANNALS_SWEEP").expect("ANNALS_SWEEP names a folder of NDJSON files");
    let number = |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let only = std::env::var("ANNALS_ONLY").unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let data = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !data.contains(&only) {
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let segment_bytes = number("ANNALS_SEGMENT", 32 << 20);
        let (mut bodies, mut text_bytes) = (Vec::new(), 0);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if text_bytes + line.len() >= segment_bytes {
                break;
            }
            text_bytes += line.len() + 1;
            let mut body = Vec::new();
            crate::json::to_msgpack(line, &mut body).unwrap();
            bodies.push(body);
        }
        let samples: Vec<Sample<'_>> = bodies
            .iter()
            .enumerate()
            .map(|(n, body)| Sample { time: 1_760_000_000_000_000 + n as i64 * 977, body })
            .collect();
        let block_records = number("ANNALS_RECORDS", 256);
        let options = LearnOptions {
            block_records,
            literal_bytes: 4 << 20,
            content_bytes: number("ANNALS_CONTENT", 16 << 10),
            level: number("ANNALS_LEVEL", 3) as i32,
        };
        let began = Instant::now();
        let dictionary = learn(&samples, &options).expect("learn");
        let learning = began.elapsed();
        let plain = dictionary.encode();
        assert_eq!(Dictionary::decode(&plain).as_ref(), Some(&dictionary));
        let stored = zstd::bulk::compress(&plain, 12).unwrap();
        let began = Instant::now();
        let mut encoder = Encoder::new(&dictionary, options.level).unwrap();
        let meta = Meta { kind: 1, flags: 0, key: &[] };
        let mut blocks = Vec::new();
        for run in samples.chunks(block_records) {
            run.iter().for_each(|sample| encoder.push(sample.time, &meta, sample.body));
            let mut payload = Vec::new();
            let plain = encoder.finish(&mut payload).unwrap();
            blocks.push((payload, plain, run.len()));
        }
        let encoding = began.elapsed();
        let digested = zstd::zstd_safe::DDict::create(&dictionary.content);
        let mut context = zstd::zstd_safe::DCtx::create();
        let mut open = |block: &mut Block, n: usize| {
            let (payload, plain, rows) = &blocks[n];
            let mut decompress = |stored: &[u8], out: &mut Vec<u8>| {
                out.reserve(*plain as usize);
                context.decompress_using_ddict(out, stored, &digested).ok().map(drop)
            };
            block.open(&dictionary, payload, *rows as u32, &mut decompress).unwrap();
        };
        let mut block = Block::default();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let began = Instant::now();
        for n in 0..blocks.len() {
            out.clear();
            ends.clear();
            open(&mut block, n);
            block.bodies(&dictionary, usize::MAX, &mut out, &mut ends).unwrap();
            let mut from = 0;
            for (row, end) in ends.iter().enumerate() {
                assert_eq!(&out[from..*end as usize], samples[n * block_records + row].body);
                from = *end as usize;
            }
        }
        let decoding = began.elapsed();
        let (mut state, gets, mut get) = (1u64, 2000, f64::MAX);
        for _ in 0..4 {
            let began = Instant::now();
            for _ in 0..gets {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let n = (state >> 33) as usize % samples.len();
                open(&mut block, n / block_records);
                out.clear();
                block.body(&dictionary, n % block_records, usize::MAX, &mut out).unwrap();
                assert!(out == samples[n].body);
            }
            get = get.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(gets));
        }
        let payloads: usize = blocks.iter().map(|(payload, ..)| payload.len() + 60).sum();
        let compressed = blocks
            .iter()
            .map(|(payload, ..)| {
                let mut fields = crate::fields::Fields(&payload[1..]);
                fields.varint().unwrap() as usize
            })
            .sum::<usize>();
        let mut whole = Vec::new();
        text[..text_bytes].clone_into(&mut whole);
        let began = Instant::now();
        let zstd3 = zstd::bulk::compress(&whole, 3).unwrap().len();
        let zstd_time = began.elapsed();
        let body_bytes: usize = bodies.iter().map(Vec::len).sum();
        let total = payloads + stored.len() * 9 / 8 + bodies.len() / 8;
        println!(
            "{data}: {} rec, ratio {:.2} vs zstd-3 {:.2} ({:.3}), {:.1} B/ev (payload {:.1}: zstd {:.1}, dict {} of {}, {} columns {} slots), learn {:.0} ms, enc {:.0} MB/s (zstd-3 {:.0}), dec {:.0} MB/s, get {get:.1} us",
            bodies.len(),
            text_bytes as f64 / total as f64,
            text_bytes as f64 / zstd3 as f64,
            total as f64 / zstd3 as f64,
            total as f64 / bodies.len() as f64,
            payloads as f64 / bodies.len() as f64,
            compressed as f64 / bodies.len() as f64,
            stored.len(),
            plain.len(),
            dictionary.columns.len(),
            dictionary.slots.len(),
            learning.as_secs_f64() * 1e3,
            body_bytes as f64 / 1e6 / encoding.as_secs_f64(),
            text_bytes as f64 / 1e6 / zstd_time.as_secs_f64(),
            body_bytes as f64 / 1e6 / decoding.as_secs_f64(),
        );
    }
}
