//! Directories made to hurt whoever opens them: bombs, lengths and counts that lie, files that are none, all of it behind
//! right checksums. What is made follows from a number.

#[path = "../random/mod.rs"]
mod random;

#[path = "../../../fuzz/cases/src/forge.rs"]
#[allow(dead_code, reason = "the fuzz targets use more of it")]
pub(crate) mod forge;

use annals::{Background, Options};
use forge::{Frame, Salt, directory, entry, header, repair_block, repair_frame, signed_varint, trailer, varint};
pub(crate) use random::Random;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

/// A log that is about to be harmed.
struct Victim {
    path: PathBuf,
    log_id: [u8; 16],
    random: Random,
}

const FILE_ID: [u8; 16] = *b"an id of a file.";
const RECORDS: u64 = 6;
const SPARSE: [u64; 4] = [3 << 30, 5 << 30, 40 << 30, 1 << 42];

/// Makes the hostile directory `number` of `seed` at `path`, and says what it is.
pub(crate) fn make(path: &Path, seed: u64, number: u64) -> String {
    let options = Options::new().background(Background::Manual).segment_bytes(64 << 10);
    let log = options.create(path).expect("an empty directory takes a log");
    for n in 0..RECORDS {
        log.append(&BTreeMap::from([("n", n)])).expect("append");
        if n == 2 {
            log.seal().expect("seal");
        }
    }
    log.close().expect("close");
    let identity = fs::read(path.join("identity")).expect("it was created");
    let log_id = *identity[32..].first_chunk().expect("a header");
    let mut victim =
        Victim { path: path.to_owned(), log_id, random: Random(seed.wrapping_mul(0x1_0000_01B3).wrapping_add(number)) };
    let makers: [fn(&mut Victim) -> String; 12] = [
        Victim::bomb,
        Victim::many_rows,
        Victim::bodies,
        Victim::many_keys,
        Victim::lying_frame,
        Victim::far_frame,
        Victim::lying_section,
        Victim::sparse,
        Victim::no_file,
        Victim::crowd,
        Victim::dictionary,
        Victim::garbage,
    ];
    let maker = makers[(number % makers.len() as u64) as usize];
    maker(&mut victim)
}

impl Victim {
    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path.join(name), bytes).expect("the directory is ours");
    }

    fn names(&self, ending: &str) -> Vec<String> {
        let names = fs::read_dir(&self.path).expect("the directory is ours");
        let mut names: Vec<_> =
            names.map(|entry| entry.expect("listed").file_name().into_string().expect("ours")).collect();
        names.retain(|name| name.ends_with(ending));
        names.sort();
        names
    }

    /// A sealed file with these blocks, each (codec, count, plain length, payload), and sections.
    fn sealed(&self, blocks: &[(u8, u32, u32, Vec<u8>)], mut sections: Vec<([u8; 4], u64, Vec<u8>)>) {
        let salt = Salt::of(&FILE_ID);
        let name = format!("{RECORDS:020}-0000000050.seg");
        let mut bytes = header(b"SEAL", [self.log_id, FILE_ID], RECORDS, 50, &128u64.to_le_bytes());
        let (mut seq, mut table) = (RECORDS, Vec::new());
        varint(&mut table, blocks.len() as u64);
        for (codec, count, plain_len, payload) in blocks {
            let at = bytes.len();
            bytes.extend(b"\xA7blk");
            bytes.extend([*codec, 1, 0, 0]);
            bytes.extend((payload.len() as u32).to_le_bytes());
            bytes.extend(plain_len.to_le_bytes());
            bytes.extend(seq.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend([0; 24]);
            bytes.extend([7; 16]);
            bytes.extend(payload);
            repair_block(&mut bytes, at, salt);
            varint(&mut table, (bytes.len() - at) as u64);
            varint(&mut table, u64::from(*count));
            table.extend([0, 0]);
            seq += u64::from(*count);
        }
        let summary = [seq - RECORDS, seq, 0, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect();
        sections.extend([(*b"BLKS", 0, table), (*b"SUMM", 0, summary)]);
        for section in &mut sections {
            section.1 = bytes.len() as u64;
            bytes.extend(&section.2);
        }
        let entries = directory(&sections, salt);
        let end = trailer(&bytes, bytes.len() as u64, &entries, salt);
        bytes.extend(entries);
        bytes.extend(end);
        self.put(&name, &bytes);
    }

    /// A raw segment with these frames, each (header, payload), checksums repaired.
    fn raw(&self, frames: &[(Frame, Vec<u8>)]) -> String {
        let name = format!("{RECORDS:020}-0000000060.log");
        let head = header(b"RAW ", [self.log_id, FILE_ID], RECORDS, 60, &[7; 16]);
        let mut bytes = vec![0; forge::DATA_START];
        bytes[..128].copy_from_slice(&head);
        bytes[4096..4224].copy_from_slice(&head);
        for (frame, payload) in frames {
            let at = bytes.len();
            bytes.extend(frame.around(payload));
            repair_frame(&mut bytes, at, Salt::of(&FILE_ID));
        }
        self.put(&name, &bytes);
        name
    }

    fn data(&self, first_seq: u64, bodies: &[Vec<u8>]) -> (Frame, Vec<u8>) {
        let entries = bodies.iter().zip(first_seq..);
        let payload = entries.flat_map(|(body, seq)| entry(seq, 0, b"", body, Salt::of(&FILE_ID))).collect();
        let count = bodies.len() as u32;
        (Frame { kind: 1, first_seq, count, watermark: first_seq, incarnation: [7; 16], times: (0, 0) }, payload)
    }

    /// Blocks that decompress to what is much larger.
    fn bomb(&mut self) -> String {
        let plain_len = self.random.choose(&[1 << 20, 16 << 20, (16 << 20) + 64, (16 << 20) + 65, 200 << 20]);
        let told = self.random.choose(&[plain_len, plain_len, 1_000, 16 << 20, u64::from(u32::MAX)]) as u32;
        let mut plain = vec![0];
        varint(&mut plain, plain_len - 6);
        plain.push(0);
        plain.resize(plain_len as usize, 0x80);
        let payload = zstd::bulk::compress(&plain, 1).expect("zstd compresses anything");
        let blocks = vec![(1, 1, told, payload); 1 + self.random.below(3) as usize];
        self.sealed(&blocks, Vec::new());
        format!("{} blocks of {plain_len} bytes that tell {told}", blocks.len())
    }

    /// A block with millions of records.
    fn many_rows(&mut self) -> String {
        let count = self.random.choose(&[1u32 << 16, 1 << 18, 1 << 20, (8 << 20) - 1]);
        let told = self.random.choose(&[count, count, u32::MAX, 1]);
        let len = self.random.below(2);
        let mut plain = vec![0];
        plain.resize(1 + count as usize, len as u8);
        plain.resize(1 + 2 * count as usize, 0);
        plain.resize((1 + (2 + len as usize) * count as usize).min((16 << 20) + 64), 0x80);
        let payload = zstd::bulk::compress(&plain, 1).expect("zstd compresses anything");
        self.sealed(&[(1, told, plain.len() as u32, payload)], Vec::new());
        format!("a block of {count} records that tells {told}")
    }

    /// Records whose bodies are no MessagePack, or too much of it.
    fn bodies(&mut self) -> String {
        let size = self.random.choose(&[10, 10_000, 1 << 20, (16 << 20) - 30]) as usize;
        let mut body = vec![0x81, 0xa1, b'a'];
        let fill = self.random.choose(&[0x91, 0x81, 0xdd, 0xdf, 0xc6, 0xdb, 0xc9, 0x80, 0xc1, 0x00, 0xd4]);
        body.resize(size.max(8), fill);
        if self.random.below(2) == 0 {
            // One array of everything that follows.
            body[3] = 0xdd;
            body[4..8].copy_from_slice(&((size.max(8) - 8) as u32).to_be_bytes());
        }
        if self.random.below(2) == 0 {
            self.raw(&[self.data(RECORDS, &[body])]);
        } else {
            let mut plain = vec![0];
            varint(&mut plain, body.len() as u64);
            signed_varint(&mut plain, 0);
            plain.extend(&body);
            self.sealed(&[(2, 1, plain.len() as u32, plain)], Vec::new());
        }
        format!("a body of {size} times {fill:#x}")
    }

    /// Records with very many different keys.
    fn many_keys(&mut self) -> String {
        let keys = self.random.choose(&[70_000, 500_000, 2_000_000]) as u32;
        let nested = self.random.below(2) == 0;
        let mut map = vec![0xdf];
        map.extend(keys.to_be_bytes());
        for n in 0..keys {
            map.push(0xa4);
            map.extend([n, n >> 6, n >> 12, n >> 18].map(|part| (part & 63) as u8 + 48));
            map.push(1);
        }
        let body = if nested { [&[0x81, 0xa1, b'a'][..], &map].concat() } else { map };
        self.raw(&[self.data(RECORDS, &[body])]);
        format!("a record with {keys} keys, nested: {nested}")
    }

    /// A frame whose header says anything, with a right checksum; in a file with holes, so that there are bytes for it.
    fn lying_frame(&mut self) -> String {
        let payload_len = self.random.choose(&[0, 1_000, 60 << 20, (64 << 20) - 72, (64 << 20) - 71, u32::MAX]);
        let count = self.random.choose(&[0, 1, 1_000, 3_000_000, u32::MAX]);
        let kind = self.random.choose(&[1, 1, 2, 3, 4, 5]);
        let (frame, payload) = self.data(RECORDS, &[vec![0x80]]);
        let name = self.raw(&[(Frame { count, kind, ..frame }, payload)]);
        let mut bytes = fs::read(self.path.join(&name)).expect("it was written");
        let at = forge::DATA_START;
        bytes[at + 8..at + 12].copy_from_slice(&payload_len.to_le_bytes());
        let crc = Salt::of(&FILE_ID).crc(&bytes[at..at + 68]).to_le_bytes();
        bytes[at + 68..at + 72].copy_from_slice(&crc);
        self.put(&name, &bytes);
        let len = self.random.choose(&[100 << 10, 70 << 20, 200 << 20]);
        File::options().write(true).open(self.path.join(&name)).and_then(|file| file.set_len(len)).expect("holes");
        format!("a frame of kind {kind}, {payload_len} bytes, {count} records in a file of {len} bytes")
    }

    /// A frame far behind a hole, that tells of records in it.
    fn far_frame(&mut self) -> String {
        let at = self.random.choose(&[1u64 << 20, 64 << 20, 1 << 30, (4 << 30) - 4096]);
        let skipped = self.random.choose(&[1, at / 20 - 600, at / 20 + 1, 1 << 40]);
        let name = self.raw(&[]);
        let (frame, payload) = self.data(RECORDS + skipped, &[vec![0x80]]);
        let mut bytes = frame.around(&payload);
        repair_frame(&mut bytes, 0, Salt::of(&FILE_ID));
        let file = File::options().write(true).open(self.path.join(&name)).expect("it was written");
        file.write_all_at(b"x", 8192 + 64).expect("the directory is ours");
        file.write_all_at(&bytes, at).expect("the directory is ours");
        format!("a frame at {at} that tells of {skipped} records before it")
    }

    /// A footer whose sections tell of what is not there, or of far too much.
    fn lying_section(&mut self) -> String {
        let tag =
            self.random.choose(&[b"BLKS", b"SHAP", b"NODE", b"MERK", b"SRCS", b"RUNS", b"SUMM", b"DICT", b"STAT"]);
        let len = self.random.choose(&[0, 100, 5_000_000, 30 << 20]) as usize;
        let fill = self.random.choose(&[0, 1, 0x34, 0x7f, 0xff]);
        let mut section = vec![fill; len];
        if len > 8 && self.random.below(2) == 0 {
            // A count, then entries of four bytes: blocks of 52 bytes with one record each.
            section.clear();
            varint(&mut section, len as u64 / 4 - 2);
            section.extend([52, 1, 0, 0].repeat(len / 4 - 2));
        }
        let plain = vec![0, 1, 0, 0x80];
        self.sealed(&[(2, 1, 4, plain)], vec![(*tag, 0, section)]);
        format!("a section {} of {len} times {fill:#x}", String::from_utf8_lossy(tag))
    }

    /// A file of which most is a hole.
    fn sparse(&mut self) -> String {
        let name = match self.random.below(5) {
            0 => self.random.choose(&["identity", "head", "lock"]).to_owned(),
            1 => self.names(".idx")[0].clone(),
            2 => self.names(".seg")[0].clone(),
            3 => format!("{RECORDS:020}-0000000070.seg"),
            _ => self.names(".log")[0].clone(),
        };
        let len = self.random.choose(&SPARSE);
        let file = File::options().write(true).create(true).truncate(false).open(self.path.join(&name)).expect("ours");
        if file.set_len(len).is_err() {
            file.set_len(3 << 30).expect("files of 3 GiB with holes");
        }
        if name.ends_with(".seg") && self.random.below(2) == 0 {
            let salt = Salt::of(&FILE_ID);
            let head = header(b"SEAL", [self.log_id, FILE_ID], RECORDS, 70, &128u64.to_le_bytes());
            file.write_all_at(&head, 0).expect("ours");
            // A summary that is one large hole. Its checksum is never reached.
            let mut sections = directory(&[(*b"SUMM", 128, Vec::new())], salt);
            sections[16..24].copy_from_slice(&(len - 10_000).to_le_bytes());
            let end = trailer(&head, len - 164 - 24, &sections, salt);
            file.write_all_at(&[sections, end].concat(), len - 164 - 24).expect("ours");
        }
        format!("{name} of {len} bytes, most of it a hole")
    }

    /// Something that is no file, in the place of one.
    fn no_file(&mut self) -> String {
        let mut names = vec!["identity".to_owned(), "head".to_owned(), "lock".to_owned(), "quarantine".to_owned()];
        names.extend(["", ".seg", ".log", ".idx"].iter().flat_map(|ending| self.names(ending)));
        names.push(format!("{RECORDS:020}-0000000080.log"));
        names.push(format!("{RECORDS:020}-0000000080.seg"));
        let name = self.random.choose(&names.iter().map(String::as_str).collect::<Vec<_>>()).to_owned();
        let path = self.path.join(&name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        let targets =
            ["/dev/zero", "/dev/null", "/dev/full", ".", "..", "/", "nowhere", &name, "/proc/self/mem", "identity"];
        match self.random.below(4) {
            0 => {
                mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
                format!("{name} is a FIFO")
            }
            1 => {
                fs::create_dir_all(path.join("below")).expect("ours");
                format!("{name} is a folder")
            }
            _ => {
                let target = self.random.choose(&targets);
                symlink(target, &path).expect("ours");
                format!("{name} leads to {target}")
            }
        }
    }

    /// Very many names, some of them nearly those of segments.
    fn crowd(&mut self) -> String {
        let count = self.random.choose(&[10, 300, 2_000]);
        for n in 0..count {
            let (base, ordinal) =
                (self.random.next() >> self.random.below(64), self.random.next() >> self.random.below(64));
            let ending = self.random.choose(&["log", "seg", "idx", "tmp", "log.tmp", "SEG", ""]);
            let name = match self.random.below(6) {
                0 => format!("..{n}"),
                1 => format!("{base:020}-{ordinal:010}.{ending}\n"),
                2 => format!("{base}-{ordinal}.{ending}"),
                _ => format!("{base:020}-{ordinal:010}.{ending}"),
            };
            self.put(&name, b"");
        }
        let _ = fs::write(self.path.join(std::ffi::OsStr::from_bytes(b"\xff\xfe.log")), b"");
        format!("{count} names")
    }

    /// A dictionary that lies, before blocks that want it.
    fn dictionary(&mut self) -> String {
        let salt = Salt::of(&FILE_ID);
        let len = self.random.choose(&[0, 4, 1 << 20, (1 << 20) + 1, 100 << 20]);
        let told = self.random.choose(&[len as u32, 1 << 20, u32::MAX, 0]);
        let plain = vec![self.random.choose(&[0, 0x37]); len];
        let stored = zstd::bulk::compress(&plain, 1).expect("zstd compresses anything");
        let copy = forge::dictionary(told, &stored, salt);
        let name = self.names(".seg")[0].clone();
        let mut bytes = fs::read(self.path.join(&name)).expect("it was sealed");
        let file_id: [u8; 16] = *bytes[48..].first_chunk().expect("a header");
        let copy = [&copy[..12], &Salt::of(&file_id).crc(&stored).to_le_bytes()].concat();
        let copy = [&copy[..], &Salt::of(&file_id).crc(&copy).to_le_bytes(), &stored].concat();
        bytes[88..96].copy_from_slice(&(128 + copy.len() as u64).to_le_bytes());
        let blocks = bytes.split_off(128);
        bytes.extend(copy);
        bytes.extend(blocks);
        let at = bytes.len() - forge::TRAILER_BYTES;
        let head = bytes[..128].to_vec();
        bytes[at..at + 128].copy_from_slice(&head);
        forge::repair_sealed(&mut bytes);
        self.put(&name, &bytes);
        format!("a dictionary of {len} bytes that tells {told}")
    }

    /// Any bytes, behind right checksums.
    fn garbage(&mut self) -> String {
        let names = self.names("");
        let name = self.random.choose(&names.iter().map(String::as_str).collect::<Vec<_>>()).to_owned();
        let mut bytes = fs::read(self.path.join(&name)).expect("listed");
        let changes = 1 + self.random.below(40);
        for _ in 0..changes {
            let from = if name.ends_with(".log") && self.random.below(4) > 0 { 8192 } else { 0 };
            let at = (from + self.random.below(1 << 10) as usize).min(bytes.len().saturating_sub(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = self.random.choose(&[0, 1, 0x7f, 0x80, 0xff, self.random.0 as u8]);
            }
        }
        match name.rsplit('.').next() {
            Some("log") => forge::repair_raw(&mut bytes),
            Some("seg") => forge::repair_sealed(&mut bytes),
            Some("idx") => forge::repair_index(&mut bytes),
            Some("head") => forge::repair_head(&mut bytes),
            _ => {}
        }
        self.put(&name, &bytes);
        format!("{changes} bytes of {name}")
    }
}
