//! The one who touches the files: writes chunks, syncs, ends segments and begins them, in the order of the jobs.

use crate::commit::Seed;
use crate::commit::chunk::{Chunk, Job};
use crate::commit::head::Head;
use crate::commit::prepare::PreparedSegment;
use crate::error::{Error, Result};
use crate::names::{HEAD, SegmentKind, SegmentName};
use crate::options::{Durability, Options};
use crate::raw::frame::{FrameHeader, FrameKind};
use crate::raw::{RawSegment, Scan, encode_preamble};
use crate::storage::{AlignedBuf, File, write_all_at};
use crate::view::View;
use crate::{Incarnation, Storage};
use annals_index::{FileHeader, FileKind, INCOMPATIBLE_DROPS, SPECIFIC_BYTES};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Writer {
    storage: Arc<dyn Storage>,
    view: Arc<View>,
    incarnation: Incarnation,
    boot_id: [u8; 16],
    reads_written: bool,
    /// The features of raw segments: whether they may tell of dropped records.
    features: u64,
    writes_directly: bool,
    recent_bytes: usize,
    active: Option<Arc<RawSegment>>,
    ordinal: u64,
    written_seq: u64,
    durable_seq: u64,
    head: Arc<dyn File>,
}

/// How far the writer has come.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) written_seq: u64,
    pub(crate) durable_seq: u64,
    /// The buffers of the chunks, to be filled again.
    pub(crate) buffers: Vec<AlignedBuf>,
}

impl Writer {
    pub(crate) fn new(storage: Arc<dyn Storage>, view: Arc<View>, seed: &Seed, options: &Options) -> Result<Self> {
        let head = match storage.open_write(HEAD) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => storage.create(HEAD),
            opened => opened,
        }
        .map_err(Error::io("open", storage.describe(HEAD)))?;
        let mut writer = Self {
            boot_id: storage.boot_id(),
            storage,
            view,
            incarnation: seed.incarnation,
            reads_written: options.durability != Durability::Durable,
            features: if options.may_tell_drops() { INCOMPATIBLE_DROPS } else { 0 },
            writes_directly: false,
            recent_bytes: options.footprint.recent_bytes,
            active: None,
            ordinal: seed.next_ordinal.saturating_sub(1),
            written_seq: seed.next_seq,
            durable_seq: seed.next_seq,
            head,
        };
        writer.tell_readers()?;
        Ok(writer)
    }

    /// Does the jobs in order, and syncs what was written if asked to.
    ///
    /// # Errors
    /// The first failure; what comes after it is not tried.
    pub(crate) fn run(&mut self, jobs: VecDeque<Job>, sync: bool) -> Result<Done> {
        let mut buffers = Vec::new();
        let before = (self.written_seq, self.durable_seq, self.ordinal);
        for job in jobs {
            match job {
                Job::Write(chunk) => buffers.extend(self.write(chunk)?),
                Job::Close => self.close_segment()?,
                Job::Open(prepared, base_seq) => self.open_segment(prepared, base_seq)?,
            }
        }
        if sync {
            self.sync()?;
        }
        if before != (self.written_seq, self.durable_seq, self.ordinal) {
            self.tell_readers()?;
        }
        Ok(self.done(buffers))
    }

    fn active(&self) -> Result<&Arc<RawSegment>> {
        // Every chunk is placed after the job that opens its segment.
        self.active.as_ref().ok_or(Error::Closed)
    }

    fn write(&mut self, chunk: Chunk) -> Result<Option<AlignedBuf>> {
        let active = self.active()?;
        let file = chunk.direct.as_ref().map_or(&active.file, |direct| &direct.durable);
        // No path is copied unless it is to be told.
        write_all_at(&**file, &chunk.bytes, chunk.offset)
            .map_err(|error| Error::io("write", active.path.clone())(error))?;
        self.note_written(chunk)
    }

    /// Takes in chunks that were written directly, in their order, and tells readers.
    pub(crate) fn land(&mut self, chunks: Vec<Chunk>) -> Result<Done> {
        let mut buffers = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            buffers.extend(self.note_written(chunk)?);
        }
        self.tell_readers()?;
        Ok(self.done(buffers))
    }

    /// Takes in what was written. Returns a buffer that may be used again.
    fn note_written(&mut self, mut chunk: Chunk) -> Result<Option<AlignedBuf>> {
        let active = Arc::clone(self.active()?);
        active.extend(|scan| {
            scan.positions.extend(&chunk.positions);
            scan.drops.extend_from_slice(&chunk.drops);
            chunk.headers.iter().for_each(|header| scan.note(header));
            scan.end_offset = chunk.end_offset;
        });
        self.written_seq = self.written_seq.max(chunk.end_seq);
        if chunk.direct.is_none() {
            return Ok(Some(chunk.bytes));
        }
        self.durable_seq = self.written_seq;
        // The zeros that fill its last block are none of its content.
        chunk.bytes.resize((chunk.end_offset - chunk.offset) as usize);
        Ok(active.recent.push(chunk.offset, chunk.bytes, self.recent_bytes))
    }

    fn sync(&mut self) -> Result<()> {
        if let Some(active) = self.active.as_ref().filter(|_| self.durable_seq < self.written_seq) {
            active.file.sync().map_err(|error| Error::io("sync", active.path.clone())(error))?;
        }
        self.durable_seq = self.written_seq;
        Ok(())
    }

    /// What has been written and not synced yet: the file, its path, and the seq after it.
    pub(crate) fn unsynced(&self) -> Option<(Arc<dyn File>, String, u64)> {
        let active = self.active.as_ref().filter(|_| self.durable_seq < self.written_seq)?;
        Some((Arc::clone(&active.file), active.path.clone(), self.written_seq))
    }

    /// Takes in that what [`Writer::unsynced`] told has been synced.
    pub(crate) fn note_durable(&mut self, seq: u64) -> Result<Done> {
        if self.durable_seq < seq {
            self.durable_seq = seq;
            self.tell_readers()?;
        }
        Ok(self.done(Vec::new()))
    }

    /// Takes in that `file` has been synced for another reason. Returns how far everything is durable: it may be the
    /// active segment, and all that was written to that was written before.
    pub(crate) fn note_synced(&mut self, file: &Arc<dyn File>) -> Result<u64> {
        if self.active.as_ref().is_some_and(|active| Arc::ptr_eq(&active.file, file))
            && self.durable_seq < self.written_seq
        {
            self.durable_seq = self.written_seq;
            // The head tells it before any frame does.
            self.tell_readers()?;
        }
        Ok(self.durable_seq)
    }

    /// Makes everything durable, and says so in the segment's last frame.
    fn close_segment(&mut self) -> Result<()> {
        if self.durable_seq < self.written_seq {
            self.sync()?;
        }
        let Some(active) = self.active.take() else { return Ok(()) };
        let end = self.durable_seq;
        let marker = FrameHeader::empty(FrameKind::Close, end, end, self.incarnation, active.salt);
        let offset = active.scan().end_offset;
        write_all_at(&*active.file, &marker.encode(active.salt), offset)
            .map_err(Error::io("write", active.path.clone()))?;
        active.file.sync().map_err(Error::io("sync", active.path.clone()))?;
        active.extend(|scan| {
            scan.note(&marker);
            scan.end_offset = offset + marker.frame_bytes();
        });
        // What is not written any more gets into the system's cache when it is read.
        active.recent.clear();
        self.view.end_segment();
        Ok(())
    }

    /// Gives a prepared file its header and its name. The space for both is there already.
    fn open_segment(&mut self, prepared: PreparedSegment, base_seq: u64) -> Result<()> {
        self.writes_directly = prepared.direct.is_some();
        let active = install(&*self.storage, prepared, base_seq, self.incarnation, self.features)?;
        self.ordinal = active.name.ordinal;
        self.view.begin_segment(&active);
        self.active = Some(active);
        Ok(())
    }

    /// Tells readers how far they may read: those in other processes first, since whoever waits for a record may be killed
    /// when it has been told of it.
    fn tell_readers(&mut self) -> Result<()> {
        let head = self.head();
        write_all_at(&*self.head, &head.encode(), 0)
            .map_err(|error| Error::io("write", self.storage.describe(HEAD))(error))?;
        self.view.advance(head.visible_seq(), head.durable_seq);
        Ok(())
    }

    fn done(&self, buffers: Vec<AlignedBuf>) -> Done {
        Done { written_seq: self.written_seq, durable_seq: self.durable_seq, buffers }
    }

    fn head(&self) -> Head {
        Head {
            reads_written: self.reads_written,
            writes_directly: self.writes_directly,
            durable_seq: self.durable_seq,
            written_seq: self.written_seq,
            ordinal: self.ordinal,
            incarnation: self.incarnation,
            boot_id: self.boot_id,
        }
    }
}

/// Turns a prepared file into the raw segment that begins at `base_seq`. When it gets its name, its header and the frames
/// that were written to it are durable. `features` are those that a reader has to know to read its frames.
pub(crate) fn install(
    storage: &dyn Storage,
    prepared: PreparedSegment,
    base_seq: u64,
    incarnation: Incarnation,
    features: u64,
) -> Result<Arc<RawSegment>> {
    let name = SegmentName { base_seq, ordinal: prepared.ordinal, kind: SegmentKind::Raw };
    let mut specific = [0; SPECIFIC_BYTES];
    specific[..incarnation.0.len()].copy_from_slice(&incarnation.0);
    let header = FileHeader {
        kind: FileKind::Raw,
        compatible: 0,
        incompatible: features,
        log_id: prepared.log_id.0,
        file_id: prepared.file_id.0,
        base_seq,
        ordinal: prepared.ordinal,
        created_us: storage.now().as_micros(),
        specific,
    };
    let bytes = encode_preamble(&header);
    let path = storage.describe(&name.to_string());
    write_all_at(&*prepared.file, &bytes, 0).map_err(Error::io("write", path.clone()))?;
    prepared.file.sync().map_err(Error::io("sync", path.clone()))?;
    storage.rename(&prepared.name, &name.to_string()).map_err(Error::io("rename", prepared.path.clone()))?;
    storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))?;
    Ok(Arc::new(RawSegment::new(name, path, header, prepared.file, Scan::new(base_seq))))
}
