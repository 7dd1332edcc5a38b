//! A log of columns that an early version wrote, committed byte for byte, which every later version has to read.
//!
//! `tests/golden/v1-columns` holds a sealed segment whose records have something of everything that a block of columns
//! can hold. It is never written anew: a change of the format gets a log of its own beside it.
//! `ANNALS_WRITE_GOLDEN=DIR cargo test -p annals --test golden_columns` writes such a log into `DIR`.
#![cfg(feature = "json")]

use annals::storage::sim::SimDisk;
use annals::{Background, Codec, Options, Reader, ScanRange, Timestamp};
use std::path::{Path, PathBuf};

const RECORDS: u64 = 600;
const ROOT: &str = "0f6e9dc8c90b212edb979b52279c36eb5103051ec35766c14f5ffd7ea3801716";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-columns")
}

/// The time and the JSON of record `n`.
fn record(n: u64) -> (i64, String) {
    // SplitMix64 (Steele et al. 2014): what looks random and is the same every time.
    let mix = |salt: u64| {
        let mut z = (n * 31 + salt).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let time = 1_700_000_000_000_000 + n as i64 * 1_000 + (mix(1) % 900) as i64;
    let hex = format!("{:016x}{:016x}", mix(2), mix(3));
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let (user, size, code) = (mix(4) % 3_000, mix(5) % 100_000, mix(6) % 1_000_000);
    let text = match n % 11 {
        // Keys in any order.
        0 => {
            let mut pairs = [
                r#""kind":"shuffled""#.to_owned(),
                format!(r#""size":{size}"#),
                format!(r#""ok":{}"#, n.is_multiple_of(2)),
                format!(r#""list":[{},{},{}]"#, mix(7) % 9, n, -(size as i64)),
                format!(r#""inner":{{"deep":{{"er":{}}}}}"#, n % 5),
                r#""none":null"#.to_owned(),
            ];
            (1..pairs.len()).rev().for_each(|to| pairs.swap(to, (mix(to as u64 + 20) % (to as u64 + 1)) as usize));
            format!("{{{}}}", pairs.join(","))
        }
        // Several lines, more or fewer, some of which name what stands beside them.
        1 | 2 => {
            let image = format!(r"C:\\Windows\\System32\\svc{}.exe", user % 40);
            let lines: Vec<String> = (0..2 + mix(7) % 9)
                .map(|line| match mix(30 + line) % 6 {
                    0 => format!("Image: {image}"),
                    1 => format!("ProcessId: {code}"),
                    2 => "Note: the first of its kind".to_owned(),
                    3 => format!("Rule: {}", mix(50 + line) % 40),
                    4 => format!("Hash: {}", &hex[..12]),
                    _ => String::new(),
                })
                .collect();
            let message = lines.join(r"\r\n");
            format!(r#"{{"kind":"lines","image":"{image}","pid":{code},"message":"What happened:\r\n{message}"}}"#)
        }
        // What has no pattern.
        3 => format!(
            r#"{{"kind":"word","token":"x{code}q{user}Z{size}","odd":[{:?},-0.0,1e300,{},-0],"id":"{}","serial":"{}"}}"#,
            mix(8) as f64 / 3e9,
            u64::MAX - mix(9) % 100_000,
            uuid.to_uppercase(),
            hex.to_uppercase(),
        ),
        _ => format!(
            r#"{{"kind":"plain","id":"req-{hex}","uuid":"{uuid}","UPPER":"{}","at":"2023-11-{:02}T12:{:02}:07.{:03}Z","day":"2023-11-{:02} 08:00:{:02}","user":"user{user:04}@example.com","short":"n{}","address":"10.0.{}.{}","offset":"0x{code:x}","mask":"0x{:08X}","took":{}.{},"time":{},"said":"user{user:04} did {code} things"}}"#,
            hex[..9].to_uppercase(),
            1 + n % 28,
            n % 60,
            mix(9) % 1_000,
            1 + mix(10) % 28,
            mix(11) % 60,
            if n.is_multiple_of(3) { format!("{:02}", n % 100) } else { format!("{}", n % 1_000) },
            mix(12) % 256,
            mix(13) % 256,
            mix(14) as u32,
            mix(15) % 1_000,
            1 + mix(16) % 9,
            time + 17,
        ),
    };
    (time, text)
}

fn body(text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    annals::json::to_msgpack(text.as_bytes(), &mut body).unwrap();
    body
}

/// Writes the log into `dir`. Ids and times of creation come from a seed, so it is the same every time.
fn write(dir: &Path) {
    let disk = SimDisk::new(2);
    let options = Options::new().background(Background::Manual).codec(Codec::Columns);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    for (time, text) in (0..RECORDS).map(record) {
        log.append_raw(Some(Timestamp::from_micros(time)), &body(&text)).unwrap();
    }
    log.seal().unwrap();
    log.close().unwrap();
    std::fs::create_dir_all(dir).unwrap();
    for (name, _) in disk.files() {
        std::fs::write(dir.join(&name), disk.read(&name).unwrap()).unwrap();
    }
}

#[test]
fn columns_of_version_1_are_read_whole() {
    if let Some(dir) = std::env::var_os("ANNALS_WRITE_GOLDEN") {
        return write(Path::new(&dir));
    }
    let reader = Reader::open(golden()).unwrap();
    assert_eq!((reader.first_seq(), reader.end_seq()), (0, RECORDS));
    let mut scan = reader.scan(ScanRange::all()).unwrap();
    for (seq, (time, text)) in (0..RECORDS).map(record).enumerate() {
        let record = scan.advance().unwrap().unwrap_or_else(|| panic!("record {seq} is missing"));
        assert_eq!((record.seq(), record.timestamp().as_micros()), (seq as u64, time));
        assert_eq!(record.body(), body(&text), "record {seq}: {text}");
        assert_eq!(reader.get(seq as u64).unwrap().unwrap(), record.to_owned());
    }
    assert!(scan.advance().unwrap().is_none());
    let report = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((report.records, report.damage.len(), report.sealed_segments), (RECORDS, 0, 1));
    assert_eq!(report.root.as_deref(), Some(ROOT));
}

/// All blocks are of columns: the file of a segment has no others.
#[test]
fn the_segment_has_columns() {
    if std::env::var_os("ANNALS_WRITE_GOLDEN").is_some() {
        return;
    }
    let name = "00000000000000000000-0000000002.seg";
    let file = std::fs::read(golden().join(name)).unwrap();
    assert_eq!(file[128..132], *b"\xA7col");
    let codecs: Vec<u8> = file.windows(5).filter(|window| window[..4] == *b"\xA7blk").map(|window| window[4]).collect();
    assert!(codecs.len() > 1 && codecs.iter().all(|codec| *codec == 4), "{codecs:?}");
}
