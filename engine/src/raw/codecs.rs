//! Frames and entries for fuzz targets: see `crate::codecs`.

use super::entry;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::scan::{Scan, Scanner};
use super::segment::{RawCursor, RawSegment, ReadAhead};
use crate::checksum::Salt;
use crate::codecs::Row;
use crate::names::{SegmentKind, SegmentName};
use crate::storage::File;
use crate::{Error, FileId, Incarnation, Timestamp};
use annals_index::{FileHeader, FileKind, SPECIFIC_BYTES};
use std::io;
use std::sync::Arc;

/// The frame header in `bytes`, encoded again; or what is wrong with it.
///
/// # Errors
/// What the decoder says.
pub fn frame_header(bytes: &[u8; FRAME_HEADER_BYTES], file_id: [u8; 16]) -> Result<[u8; FRAME_HEADER_BYTES], String> {
    let salt = Salt::of(FileId(file_id));
    FrameHeader::decode(bytes, salt).map(|header| header.encode(salt)).map_err(|error| error.to_string())
}

/// The entry of the record `seq` at the start of `bytes`, and the same encoded again.
///
/// # Errors
/// What the decoder says.
pub fn entry(bytes: &[u8], seq: u64, file_id: [u8; 16]) -> Result<(Row, Vec<u8>), String> {
    let salt = Salt::of(FileId(file_id));
    let (record, _) = entry::decode(bytes, seq, Incarnation([0; 16]), salt).map_err(|error| error.to_string())?;
    let mut again = Vec::new();
    entry::begin(&mut again, record.timestamp, record.key);
    again.extend_from_slice(record.body);
    entry::set_len(&mut again);
    entry::checksum_all(&mut again);
    entry::place(&mut again, seq, None, salt, |_| ());
    Ok(((seq, record.timestamp.as_micros(), record.key.to_vec(), record.body.to_vec()), again))
}

/// What a raw segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Offset, first seq, count of records and bytes of each intact frame.
    pub frames: Vec<(u64, u64, u32, u64)>,
    /// From where to where no intact frame stands, and the seqs that are missing because of it.
    pub bad: Vec<(u64, u64, u64, Option<u64>)>,
    /// The records, forwards, but for those that are missing: a header may tell of millions.
    pub records: Vec<Row>,
    /// The seqs of what tells of dropped records, each of which could be read as that.
    pub drops: Vec<u64>,
    /// The highest watermark of an intact frame.
    pub watermark: u64,
    /// Whether the last frame says that the segment is complete.
    pub closed: bool,
}

/// Reads a raw segment whose bytes are `bytes`, as recovery and readers do.
///
/// # Errors
/// What reading a record fails with, other than that it is known to be missing.
pub fn segment(bytes: Vec<u8>, file_id: [u8; 16], base_seq: u64) -> Result<Segment, Error> {
    let len = bytes.len() as u64;
    let file: Arc<dyn File> = Arc::new(Memory(bytes));
    let mut scan = Scan::new(base_seq);
    let mut frames = Vec::new();
    let mut scanner = Scanner::new(&*file, len, Salt::of(FileId(file_id)));
    let observed = scanner.run_observed(&mut scan, u64::MAX, &mut |at, frame| {
        frames.push((at, frame.first_seq, frame.count, frame.frame_bytes()));
    });
    observed.map_err(Error::io("read", "memory".into()))?;
    let bad = scan.bad.iter().map(|bad| (bad.start, bad.end, bad.first_seq, bad.end_seq)).collect();
    let (watermark, closed, end_seq) = (scan.watermark, scan.closed, scan.end_seq());
    let name = SegmentName { base_seq, ordinal: 1, kind: SegmentKind::Raw };
    let raw = RawSegment::new(name, "memory".into(), header(file_id, base_seq), file, scan);
    let (mut records, mut drops) = (Vec::new(), Vec::new());
    let mut cursor = RawCursor::default();
    for seq in base_seq..end_seq {
        match cursor.read(&raw, seq, ReadAhead::Forward) {
            Ok(_) => {
                records.extend(cursor.current().map(|record| {
                    (record.seq, record.timestamp.as_micros(), record.key.to_vec(), record.body.to_vec())
                }))
            }
            Err(Error::Gap(gap)) if gap.dropped.is_some() => drops.push(seq),
            Err(Error::Damaged(_) | Error::Gap(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Segment { frames, bad, records, drops, watermark, closed })
}

fn header(file_id: [u8; 16], base_seq: u64) -> FileHeader {
    FileHeader {
        kind: FileKind::Raw,
        compatible: 0,
        incompatible: 0,
        log_id: [0; 16],
        file_id,
        base_seq,
        ordinal: 1,
        created_us: Timestamp::MIN.as_micros(),
        specific: [0; SPECIFIC_BYTES],
    }
}

/// A file that is only read.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl File for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reserve(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
