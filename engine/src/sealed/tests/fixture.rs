//! Records, sealed files in memory, and what has to hold of any file that may be damaged.

use crate::error::{Damage, Error};
use crate::merkle::Frontier;
use crate::names::{SegmentKind, SegmentName};
use crate::options::Codec;
use crate::record::{RecordKind, StoredRecord};
use crate::sealed::writer::SealedSummary;
use crate::sealed::{BlockBuf, FileDictionary, SealOptions, SealedFile, SealedWriter, Source, learn_columns};
use crate::storage::{File, Lock, Storage};
use crate::{FileId, Incarnation, LogId, Timestamp};
use annals_index::{Bytes, FileHeader, FileKind};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

pub(super) const LOG: LogId = LogId([7; 16]);
pub(super) const SHAPE: &[u8] = b"the shape of all that";

/// A record that owns its bytes.
#[derive(Debug, Clone)]
pub(super) struct Owned {
    pub(super) seq: u64,
    pub(super) run: u8,
    pub(super) time: i64,
    pub(super) key: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Owned {
    pub(super) fn stored(&self) -> StoredRecord<'_> {
        StoredRecord {
            seq: self.seq,
            incarnation: Incarnation([self.run; 16]),
            kind: RecordKind::User,
            flags: 0,
            timestamp: Timestamp::from_micros(self.time),
            key: &self.key,
            body: &self.body,
        }
    }
}

/// `count` records from `base` on, in two runs, some with keys.
pub(super) fn records(base: u64, count: u64) -> Vec<Owned> {
    let record = |i: u64| Owned {
        seq: base + i,
        run: if i < count / 2 { 1 } else { 2 },
        time: 1_000_000 * (i as i64) - 700 * (i as i64 % 5) - 20_000_000,
        key: if i.is_multiple_of(9) { format!("key-{i}").into_bytes() } else { Vec::new() },
        body: format!("\u{81}\u{a4}user actor-{} did thing {} in {} us", i * 31 % 17, i % 7, i * i % 997).into_bytes(),
    };
    (0..count).map(record).collect()
}

/// Small blocks, so that a small file has several.
pub(super) fn small_blocks() -> SealOptions {
    SealOptions { block_bytes: 600, ..SealOptions::default() }
}

/// A dictionary, as training would give one: bytes that bodies begin with.
pub(super) fn dictionary() -> Vec<u8> {
    records(0, 30).into_iter().flat_map(|record| record.body).collect()
}

/// The dictionary with these plain bytes, of the codec that `options` ask for.
fn shared(plain: Option<&[u8]>, options: &SealOptions) -> Option<FileDictionary> {
    plain.map(|plain| FileDictionary::decode(options.codec, plain.to_vec()).unwrap())
}

/// Small blocks of columns.
pub(super) fn small_columns() -> SealOptions {
    SealOptions { codec: Codec::Columns, column_records: 10, ..SealOptions::default() }
}

/// The columns of `records`, as sealing would learn them.
pub(super) fn columns(records: &[Owned]) -> Vec<u8> {
    let samples: Vec<(i64, &[u8])> = records.iter().map(|record| (record.time, &record.body[..])).collect();
    learn_columns(&samples, &small_columns()).unwrap().plain().into_owned()
}

/// Records that columns can be learned from: maps, with keys and without.
pub(super) fn maps(base: u64, count: u64) -> Vec<Owned> {
    let body = |i: u64| {
        let text = format!("user actor-{} did thing {} in {} us", i * 31 % 17, i % 7, i * i % 997);
        [&[0x82, 0xA1, b'n', (i % 100) as u8, 0xA1, b't', 0xD9, text.len() as u8][..], text.as_bytes()].concat()
    };
    let mut all = records(base, count);
    all.iter_mut().for_each(|record| record.body = body(record.seq));
    all
}

/// A sealed file in memory.
pub(super) struct Sealed {
    pub(super) disk: Arc<Memory>,
    pub(super) name: SegmentName,
    pub(super) summary: SealedSummary,
    pub(super) records: Vec<Owned>,
}

impl Sealed {
    pub(super) fn new(records: Vec<Owned>, dictionary: Option<&[u8]>, options: &SealOptions) -> Self {
        Self::with_id(records, dictionary, options, 3)
    }

    pub(super) fn with_id(records: Vec<Owned>, dictionary: Option<&[u8]>, options: &SealOptions, id: u8) -> Self {
        let base_seq = records.first().map_or(0, |record| record.seq);
        let name = SegmentName { base_seq, ordinal: 5, kind: SegmentKind::Sealed };
        let disk = Arc::new(Memory::default());
        let file = disk.create(&name.to_string()).unwrap();
        let start = frontier(base_seq);
        let header = header(base_seq, id);
        let shared = shared(dictionary, options);
        let mut writer =
            SealedWriter::create(&*file, name.to_string(), &header, shared.as_ref(), start, options).unwrap();
        records.iter().for_each(|record| writer.push(&record.stored()).unwrap());
        let source = Source { base_seq, ordinal: 2, file_id: FileId([9; 16]) };
        let summary = writer.finish(SHAPE, &[source]).unwrap();
        Self { disk, name, summary, records }
    }

    /// Seals the same records once more, elsewhere; returns the bytes of the file.
    #[cfg(feature = "json")]
    pub(super) fn seal_again(&self, dictionary: Option<&[u8]>, options: &SealOptions) -> u64 {
        let file = self.disk.create("again").unwrap();
        let (header, start) = (header(self.name.base_seq, 3), frontier(self.name.base_seq));
        let shared = shared(dictionary, options);
        let mut writer =
            SealedWriter::create(&*file, "again".into(), &header, shared.as_ref(), start, options).unwrap();
        self.records.iter().for_each(|record| writer.push(&record.stored()).unwrap());
        writer.finish(SHAPE, &[]).map(|summary| summary.file_bytes + 32).unwrap()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.disk.get(&self.name.to_string()).unwrap()
    }

    pub(super) fn put(&self, bytes: Vec<u8>) {
        self.disk.put(&self.name.to_string(), bytes);
    }

    pub(super) fn open(&self) -> crate::Result<SealedFile> {
        SealedFile::open(&(Arc::clone(&self.disk) as Arc<dyn Storage>), self.name, LOG)
    }

    /// Reads every record by its seq: each is what was sealed, or an error says that it is damaged. Returns which
    /// could be read.
    pub(super) fn readable(&self, file: &SealedFile) -> Vec<bool> {
        let mut buffer = BlockBuf::new();
        let mut read = |record: &Owned| match file.seek(record.seq, &mut buffer) {
            Ok(()) => {
                assert_eq!(buffer.get(record.seq), Some(record.stored()));
                true
            }
            Err(Error::Damaged(damage)) => {
                let (first, end) = (damage.first_seq.unwrap(), damage.end_seq.unwrap_or(u64::MAX));
                assert!((first..end).contains(&record.seq), "{damage} doesn't cover record {}", record.seq);
                assert_eq!(buffer.len(), 0);
                false
            }
            Err(other) => panic!("{other}"),
        };
        self.records.iter().map(&mut read).collect()
    }

    /// The seqs of the records in block `n`.
    pub(super) fn block_seqs(file: &SealedFile, n: usize) -> std::ops::Range<u64> {
        let entry = file.table().unwrap().0[n];
        entry.first_seq..entry.end_seq()
    }

    /// The damage that verifying finds.
    pub(super) fn damage(&self, file: &SealedFile) -> Vec<Damage> {
        let mut found = Vec::new();
        let verified = file.verify(None, &mut |damage| found.push(damage)).unwrap();
        assert!(found.iter().all(|damage| damage.path.contains(&self.name.to_string())));
        if found.is_empty() {
            assert_eq!(verified.end.as_ref(), Some(&self.summary.end));
            assert_eq!(verified.records, self.records.len() as u64);
        } else {
            assert!(verified.end.is_none_or(|end| end == self.summary.end), "a wrong tree is never told");
        }
        found
    }
}

pub(super) fn header(base_seq: u64, id: u8) -> FileHeader {
    FileHeader {
        kind: FileKind::Sealed,
        compatible: 0,
        incompatible: 0,
        log_id: LOG.0,
        file_id: [id; 16],
        base_seq,
        ordinal: 5,
        created_us: 1,
        specific: [0; annals_index::SPECIFIC_BYTES],
    }
}

/// The tree of a log of `size` other records.
pub(super) fn frontier(size: u64) -> Frontier {
    let mut frontier = Frontier::new();
    for i in 0..size {
        frontier.push([i as u8; 32]);
    }
    frontier
}

/// A directory in memory.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<String, Arc<MemoryFile>>>);

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl Memory {
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(name).map(|file| file.0.lock().unwrap().clone())
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.lock().unwrap().insert(name.to_owned(), Arc::new(MemoryFile(Mutex::new(bytes))));
    }

    pub(super) fn delete(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

impl Storage for Memory {
    fn describe(&self, name: &str) -> String {
        format!("memory/{name}")
    }
    fn list(&self, _folder: &str) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let files = self.0.lock().unwrap();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::clone(file) as Arc<dyn File>)
    }
    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open(name)
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.put(name, Vec::new());
        self.open(name)
    }
    fn map(&self, name: &str) -> io::Result<Bytes> {
        self.get(name).map(Bytes::Read).ok_or(io::ErrorKind::NotFound.into())
    }
    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.delete(name);
        Ok(())
    }
    fn create_dir(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _name: &str, _holder: &str) -> io::Result<Box<dyn Lock>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }
    fn random(&self) -> io::Result<[u8; 16]> {
        Ok([42; 16])
    }
    fn boot_id(&self) -> [u8; 16] {
        [0; 16]
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut own = self.0.lock().unwrap();
        let end = offset as usize + bytes.len();
        if own.len() < end {
            own.resize(end, 0);
        }
        own[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }
    fn reserve(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
}
