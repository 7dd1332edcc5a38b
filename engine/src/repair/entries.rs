//! Records of a damaged batch that are intact themselves.
//!
//! Reading takes a frame whole or not at all, since a batch is atomic. A batch that was acknowledged and then damaged is
//! another matter: each of its records has a checksum that says for which seq it stands, so a repair brings back all but
//! those that were hit.

use crate::checksum::Salt;
use crate::drops::Drops;
use crate::error::{Error, Result};
use crate::raw::entry::{self, ENTRY_HEADER_BYTES};
use crate::raw::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, FrameKind};
use crate::raw::{BadRange, RawSegment};
use crate::record::{RecordKind, StoredRecord};
use crate::storage::read_exact_at;
use crate::{Incarnation, Timestamp};
use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

/// How many times its own length of a damaged payload is hashed, at most, in search of records: what is made up to look
/// like records everywhere is given up.
const HASHED_MAX: u64 = 16;

/// The intact records of one damaged frame.
#[derive(Debug)]
pub(super) struct Entries {
    incarnation: Incarnation,
    salt: Salt,
    bytes: Vec<u8>,
    /// Where the entries stand in `bytes`.
    found: HashMap<u64, Range<usize>>,
}

/// What is known of the entries of a frame.
#[derive(Debug)]
struct Known {
    seqs: Range<u64>,
    incarnation: Incarnation,
    times: RangeInclusive<Timestamp>,
    /// Where in the file they stand.
    from: u64,
    to: u64,
}

impl Entries {
    /// The records that can be found in `bad`, a bad range of `raw`; `None` if too little is known of them.
    pub(super) fn of(raw: &RawSegment, bad: &BadRange) -> Result<Option<Self>> {
        let read = |error| Error::io("read", raw.path.clone())(error);
        let len = raw.file.len().map_err(read)?;
        let mut header = [0; FRAME_HEADER_BYTES];
        if bad.start + FRAME_HEADER_BYTES as u64 > len {
            return Ok(None);
        }
        read_exact_at(&*raw.file, &mut header, bad.start).map_err(read)?;
        let known = match FrameHeader::decode(&header, raw.salt) {
            Ok(header) if header.kind == FrameKind::Data && header.first_seq == bad.first_seq => Known {
                seqs: header.first_seq..header.end_seq(),
                incarnation: header.incarnation,
                times: header.time_min..=header.time_max,
                from: bad.start + FRAME_HEADER_BYTES as u64,
                to: bad.start + header.frame_bytes(),
            },
            Ok(_) => return Ok(None),
            // The frames on both sides tell which records it held, and of whom.
            Err(_) => match (bad.end_seq, incarnation_around(raw, bad)) {
                (Some(end_seq), Some(incarnation)) => Known {
                    seqs: bad.first_seq..end_seq,
                    incarnation,
                    times: Timestamp::from_micros(i64::MIN)..=Timestamp::from_micros(i64::MAX),
                    from: bad.start,
                    to: bad.end,
                },
                _ => return Ok(None),
            },
        };
        // A frame has 64 MiB at most; a bad range may have more, and then what is beyond is not looked at.
        let to = known.to.min(len).min(known.from + FRAME_BYTES_MAX as u64);
        let mut bytes = vec![0; to.saturating_sub(known.from) as usize];
        read_exact_at(&*raw.file, &mut bytes, known.from).map_err(read)?;
        let found = find(&known, raw.salt, &bytes);
        Ok(Some(Self { incarnation: known.incarnation, salt: raw.salt, bytes, found }))
    }

    /// The record `seq`, if it is intact: one that is to tell of dropped ones has to do so.
    pub(super) fn get(&self, seq: u64) -> Option<StoredRecord<'_>> {
        let entry = self.bytes.get(self.found.get(&seq)?.clone())?;
        let (record, _) = entry::decode(entry, seq, self.incarnation, self.salt).ok()?;
        let is_sound = record.kind != RecordKind::Dropped || Drops::of_record(&record).is_ok();
        is_sound.then_some(record)
    }
}

/// The incarnation of the frames before and after `bad`, if it is the same.
fn incarnation_around(raw: &RawSegment, bad: &BadRange) -> Option<Incarnation> {
    let scan = raw.scan();
    let after = scan.runs.partition_point(|&(first, _)| first <= bad.first_seq);
    let before = after.checked_sub(1).map_or_else(|| raw.writer(), |run| scan.runs[run].1);
    let next = scan.runs.get(after).filter(|&&(first, _)| bad.end_seq == Some(first));
    next.is_none_or(|&(_, incarnation)| incarnation == before).then_some(before)
}

/// Where the intact entries stand in `bytes`.
fn find(known: &Known, salt: Salt, bytes: &[u8]) -> HashMap<u64, Range<usize>> {
    // The seq of an entry follows from its checksum. No more of them fit than there are bytes for.
    let most = (bytes.len() / ENTRY_HEADER_BYTES) as u64;
    let seqs = known.seqs.start..known.seqs.end.min(known.seqs.start.saturating_add(most));
    let seqs: HashMap<u32, u64> = seqs.map(|seq| (salt.salted_for(seq, 0), seq)).collect();
    let mut found = HashMap::new();
    let mut hashed = 0;
    let (mut at, mut next) = (0, known.seqs.start);
    while at + ENTRY_HEADER_BYTES <= bytes.len() && hashed <= HASHED_MAX * bytes.len() as u64 {
        let len = entry::peek(&bytes[at..]).ok().map(|(len, _)| len).filter(|len| *len <= bytes.len() - at);
        let Some(len) = len.filter(|_| entry::timestamp(&bytes[at..]).is_some_and(|time| known.times.contains(&time)))
        else {
            at += 1;
            continue;
        };
        hashed += len as u64;
        let implied = entry::implied(&bytes[at..at + len]);
        match implied.and_then(|mix| seqs.get(&mix)).copied().filter(|&seq| seq >= next) {
            Some(seq) => {
                found.insert(seq, at..at + len);
                (at, next) = (at + len, seq + 1);
            }
            None => at += 1,
        }
    }
    found
}
