//! One file of a log, piece by piece, for someone debugging: what stands where, and what doesn't check.
//!
//! Works on a file that was taken out of its log, and on one that is damaged.

use crate::catalog::{self, Hold, Release, Removal};
use crate::commit::{HEAD_BYTES, Head};
use crate::error::{Error, Result};
use crate::names::{CATALOG, HEAD, LOCK, SegmentKind, SegmentName};
use crate::query::FieldPath;
use crate::raw::frame::FrameHeader;
use crate::raw::{DATA_START, HEADER_COPY_AT, Scan, Scanner};
use crate::sealed::{BlockBuf, SealedFile};
use crate::storage::{DirStorage, File, Storage, read_exact_at};
use crate::{FileId, Incarnation, LogId, Timestamp};
use annals_index::{FileHeader, FileKind, HEADER_BYTES};
use std::path::Path;
use std::sync::Arc;

/// One piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Piece {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What a piece of a file is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "piece", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// A file header.
    Header {
        /// What the file is.
        file: &'static str,
        /// The log it belongs to.
        log_id: LogId,
        /// The file's own id.
        file_id: FileId,
        /// The first seq it can hold.
        base_seq: u64,
        /// The ordinal in its name.
        ordinal: u64,
        /// When it was created, in µs since the Unix epoch.
        created: Timestamp,
    },
    /// A frame of a raw segment.
    Frame {
        /// Data, pad, watermark or close.
        kind: String,
        /// The seq of its first record, or of the next.
        first_seq: u64,
        /// How many records it has.
        count: u32,
        /// Below this everything was durable when it was written.
        watermark: u64,
        /// The opening of the writer that it comes from.
        incarnation: Incarnation,
        /// The earliest time of its records.
        time_min: Timestamp,
        /// The latest time of its records.
        time_max: Timestamp,
    },
    /// A block of a sealed segment.
    Block {
        /// The seq of its first record.
        first_seq: u64,
        /// How many records it has.
        count: u32,
        /// The earliest time of its records.
        time_min: Timestamp,
        /// The latest time of its records.
        time_max: Timestamp,
    },
    /// A block of a sealed segment that stands for missing records.
    Gap(crate::Gap),
    /// A section of a sealed segment's footer.
    Section {
        /// Its tag.
        tag: String,
    },
    /// The end of a sealed segment: its directory and trailer.
    Trailer,
    /// Who holds the log, or held it last: a text for people.
    Lock,
    /// The arrays of an index.
    Index,
    /// A copy of what a catalog says.
    Catalog {
        /// The paths of the fields that are indexed; `None` if nobody has ever said.
        fields: Option<Vec<String>>,
        /// The holds.
        holds: Vec<Hold>,
        /// The holds that were released.
        releases: Vec<Release>,
        /// What retention has removed.
        removals: Vec<Removal>,
    },
    /// The head.
    Head {
        /// Everything below is durable.
        durable_seq: u64,
        /// Everything below is written.
        written_seq: u64,
        /// The ordinal of the newest segment.
        ordinal: u64,
        /// The opening of the writer that wrote it.
        incarnation: Incarnation,
    },
    /// Space that is prepared and not used yet: zeros.
    Unused,
    /// Bytes that are not what they have to be.
    Bad {
        /// What is wrong.
        detail: String,
        /// The first record that is missing because of it, if that is known.
        first_seq: Option<u64>,
        /// The first record after those that are missing, if that is known.
        end_seq: Option<u64>,
    },
}

/// Gives every piece of the file at `path` to `sink`, front to back.
///
/// # Errors
/// What the operating system says, and [`Error::Unsupported`] if the file is none of a log.
pub fn inspect(path: impl AsRef<Path>, sink: &mut dyn FnMut(Piece)) -> Result<()> {
    let path = path.as_ref();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let storage: Arc<dyn Storage> = Arc::new(DirStorage::new(path.parent().unwrap_or(Path::new("."))));
    let described = storage.describe(name);
    let file = storage.open(name).map_err(Error::io("open", described.clone()))?;
    let io = |source| Error::io("read", described.clone())(source);
    let len = file.len().map_err(io)?;
    let mut first = vec![0; HEADER_BYTES.min(len as usize)];
    read_exact_at(&*file, &mut first, 0).map_err(io)?;
    if name == LOCK {
        sink(Piece { offset: 0, bytes: len, what: What::Lock });
        return Ok(());
    }
    if name == HEAD {
        head(&first, sink);
        return Ok(());
    }
    let copies = match SegmentName::parse(name).map(|name| name.kind) {
        Some(SegmentKind::Raw) => vec![0, HEADER_COPY_AT],
        Some(SegmentKind::Sealed | SegmentKind::Index | SegmentKind::Fields | SegmentKind::Statistics) => vec![0],
        None if name == CATALOG => vec![0, len / 2],
        None => vec![0, HEADER_BYTES as u64],
    };
    let mut found = None;
    for offset in copies {
        let mut bytes = vec![0; HEADER_BYTES.min(len.saturating_sub(offset) as usize)];
        read_exact_at(&*file, &mut bytes, offset).map_err(io)?;
        match FileHeader::decode_any(&bytes) {
            Ok(header) => {
                sink(header_piece(&header, offset));
                found = found.or(Some(header));
            }
            Err(error) => sink(bad(offset, bytes.len() as u64, error.to_string())),
        }
        // Whatever begins with a header of its own and has no name of a log's is treated as its header says.
        if found.as_ref().is_some_and(|header| !matches!(header.kind, FileKind::Identity | FileKind::Store))
            && SegmentName::parse(name).is_none()
            && name != CATALOG
        {
            break;
        }
    }
    match found {
        Some(header) if header.kind == FileKind::Raw => raw(&*file, len, &header, sink).map_err(io),
        Some(header) if header.kind == FileKind::Sealed => sealed(&storage, name, &header, sink),
        Some(header) if matches!(header.kind, FileKind::Index | FileKind::Fields | FileKind::Statistics) => {
            let offset = HEADER_BYTES as u64;
            sink(Piece { offset, bytes: len.saturating_sub(offset), what: What::Index });
            Ok(())
        }
        Some(header) if header.kind == FileKind::Catalog && name == CATALOG => catalog(&*storage, len, &header, sink),
        Some(_) => Ok(()),
        None => Err(Error::Unsupported {
            path: described,
            detail: "no header of an Annals file can be read, so there is nothing to tell of the rest".into(),
        }),
    }
}

fn catalog(storage: &dyn Storage, len: u64, header: &FileHeader, sink: &mut dyn FnMut(Piece)) -> Result<()> {
    let stored = catalog::file::read(storage, LogId(header.log_id))?;
    for offset in [0, len / 2] {
        // Damage is told of by the copy that it is in.
        match stored.damage.iter().find(|damage| damage.offset == offset) {
            Some(damage) => sink(bad(offset, len / 2, damage.detail.clone())),
            None => {
                let removed = stored.catalog.removed().removals();
                let spelled = |fields: &[FieldPath]| fields.iter().map(ToString::to_string).collect();
                let what = What::Catalog {
                    fields: stored.catalog.fields().map(spelled),
                    holds: stored.catalog.holds().to_vec(),
                    releases: stored.catalog.releases().kept().to_vec(),
                    removals: removed.iter().map(|removal| Removal::clone(removal)).collect(),
                };
                let offset = offset + HEADER_BYTES as u64;
                sink(Piece { offset, bytes: (len / 2).saturating_sub(HEADER_BYTES as u64), what });
            }
        }
    }
    Ok(())
}

fn head(bytes: &[u8], sink: &mut dyn FnMut(Piece)) {
    let decoded = bytes.first_chunk::<HEAD_BYTES>().and_then(Head::decode);
    let what = match decoded {
        Some(head) => What::Head {
            durable_seq: head.durable_seq,
            written_seq: head.written_seq,
            ordinal: head.ordinal,
            incarnation: head.incarnation,
        },
        None => {
            let detail = "no head, or one caught while it was being written; harmless".into();
            What::Bad { detail, first_seq: None, end_seq: None }
        }
    };
    sink(Piece { offset: 0, bytes: bytes.len() as u64, what });
}

fn header_piece(header: &FileHeader, offset: u64) -> Piece {
    let file = match header.kind {
        FileKind::Identity => "identity",
        FileKind::Raw => "raw segment",
        FileKind::Sealed => "sealed segment",
        FileKind::Index => "index",
        FileKind::Catalog => "catalog",
        FileKind::Fields => "field index",
        FileKind::Store => "store identity",
        FileKind::Statistics => "statistics",
    };
    let what = What::Header {
        file,
        log_id: LogId(header.log_id),
        file_id: FileId(header.file_id),
        base_seq: header.base_seq,
        ordinal: header.ordinal,
        created: Timestamp::from_micros(header.created_us),
    };
    Piece { offset, bytes: HEADER_BYTES as u64, what }
}

fn bad(offset: u64, bytes: u64, detail: String) -> Piece {
    Piece { offset, bytes, what: What::Bad { detail, first_seq: None, end_seq: None } }
}

fn raw(file: &dyn File, len: u64, header: &FileHeader, sink: &mut dyn FnMut(Piece)) -> std::io::Result<()> {
    let salt = crate::checksum::Salt::of(FileId(header.file_id));
    let mut scan = Scan::new(header.base_seq);
    let mut reported = 0;
    let mut end = DATA_START;
    let mut scanner = Scanner::new(file, len, salt);
    let mut frames: Vec<(u64, FrameHeader)> = Vec::new();
    scanner.run_observed(&mut scan, u64::MAX, &mut |offset, frame| frames.push((offset, *frame)))?;
    for (offset, frame) in frames {
        while let Some(bad) = scan.bad.get(reported).filter(|bad| bad.start < offset) {
            sink(bad_range(bad));
            reported += 1;
        }
        end = offset + frame.frame_bytes();
        let what = What::Frame {
            kind: format!("{:?}", frame.kind).to_lowercase(),
            first_seq: frame.first_seq,
            count: frame.count,
            watermark: frame.watermark,
            incarnation: frame.incarnation,
            time_min: frame.time_min,
            time_max: frame.time_max,
        };
        sink(Piece { offset, bytes: frame.frame_bytes(), what });
    }
    for bad in &scan.bad[reported..] {
        end = end.max(bad.end);
        sink(bad_range(bad));
    }
    if end < len {
        sink(Piece { offset: end, bytes: len - end, what: What::Unused });
    }
    Ok(())
}

fn bad_range(bad: &crate::raw::BadRange) -> Piece {
    let (first_seq, end_seq) = (Some(bad.first_seq), bad.end_seq);
    let what = What::Bad { detail: bad.why.clone(), first_seq, end_seq };
    Piece { offset: bad.start, bytes: bad.end - bad.start, what }
}

fn sealed(storage: &Arc<dyn Storage>, file_name: &str, header: &FileHeader, sink: &mut dyn FnMut(Piece)) -> Result<()> {
    let name = SegmentName { base_seq: header.base_seq, ordinal: header.ordinal, kind: SegmentKind::Sealed };
    let file = SealedFile::open_as(storage, file_name, name, LogId(header.log_id))?;
    if let Some(damage) = file.footer_damage() {
        sink(bad(damage.offset, 0, damage.detail.clone()));
    }
    let (blocks, sections) = file.layout()?;
    let mut buffer = BlockBuf::new();
    for block in blocks {
        let is_gap = (block.time_min, block.time_max) == (i64::MIN, i64::MAX);
        if is_gap
            && file.seek(block.first_seq, &mut buffer).is_ok()
            && let Some(gap) = buffer.gap()
        {
            sink(Piece { offset: block.offset, bytes: block.span.into(), what: What::Gap(gap.clone()) });
            continue;
        }
        let what = What::Block {
            first_seq: block.first_seq,
            count: block.count,
            time_min: Timestamp::from_micros(block.time_min),
            time_max: Timestamp::from_micros(block.time_max),
        };
        sink(Piece { offset: block.offset, bytes: block.span.into(), what });
    }
    let mut end = 0;
    for section in sections {
        end = end.max(section.offset + section.len);
        let tag = String::from_utf8_lossy(&section.tag.0).into_owned();
        sink(Piece { offset: section.offset, bytes: section.len, what: What::Section { tag } });
    }
    if end > 0 {
        sink(Piece { offset: end, bytes: file.file_bytes().saturating_sub(end), what: What::Trailer });
    }
    Ok(())
}
