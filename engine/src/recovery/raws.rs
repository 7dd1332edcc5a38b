//! Opening raw segments: what a file is worth that has the name of one.

use crate::LogId;
use crate::error::{Error, Result};
use crate::names::SegmentName;
use crate::raw::{RawSegment, Scan, Scanner, read_header};
use crate::storage::{File, Storage};
use annals_index::FileHeader;
use std::sync::Arc;

/// Opens and reads a raw segment. The inner error says why the whole file is unusable.
pub(crate) fn open_raw(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    name: SegmentName,
    until_seq: u64,
) -> Result<Result<Arc<RawSegment>, String>> {
    let path = storage.describe(&name.to_string());
    let (file, header) = match open_header(storage, log_id, name)? {
        Ok(opened) => opened,
        Err(detail) => return Ok(Err(detail)),
    };
    let raw = Arc::new(RawSegment::new(name, path, header, file, Scan::new(name.base_seq)));
    read_on(&raw, until_seq)?;
    Ok(Ok(raw))
}

/// A raw segment's file and its header.
type Opened = (Arc<dyn File>, FileHeader);

/// Opens a raw segment's file and reads its header; what is wrong with it, if nothing else can be read.
fn open_header(storage: &Arc<dyn Storage>, log_id: LogId, name: SegmentName) -> Result<Result<Opened, String>> {
    let text = name.to_string();
    let path = storage.describe(&text);
    let file = storage.open(&text).map_err(Error::io("open", path.clone()))?;
    let header = match read_header(&*file).map_err(Error::io("read", path.clone()))? {
        Ok(header) => header,
        Err(error) => {
            return match error {
                annals_index::HeaderError::UnknownVersion { .. }
                | annals_index::HeaderError::UnsupportedFeatures { .. } => {
                    Err(Error::Unsupported { path, detail: error.to_string() })
                }
                error => Ok(Err(error.to_string())),
            };
        }
    };
    Ok(match (header.log_id, header.base_seq, header.ordinal) == (log_id.0, name.base_seq, name.ordinal) {
        true => Ok((file, header)),
        false => Err("its header belongs to another file".into()),
    })
}

/// The first of `names` that is what its name says: a stray file stands in for nothing.
pub(super) fn first_sound(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    names: impl Iterator<Item = SegmentName>,
) -> Result<Option<SegmentName>> {
    for name in names {
        if open_header(storage, log_id, name)?.is_ok() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Reads on in a raw segment, from what is known of it as far as the record `until_seq`.
pub(crate) fn read_on(raw: &RawSegment, until_seq: u64) -> Result<()> {
    let mut outcome = Ok(());
    raw.extend(|scan| {
        outcome = raw.file.len().and_then(|len| Scanner::new(&*raw.file, len, raw.salt).run(scan, until_seq));
    });
    outcome.map_err(Error::io("read", raw.path.clone()))
}
