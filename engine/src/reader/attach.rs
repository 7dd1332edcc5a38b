//! Following a log that another process writes, or nobody: by its directory and its head.

use crate::commit::{HEAD_BYTES, Head};
use crate::error::{Error, Result};
use crate::footprint::Footprint;
use crate::log::identity;
use crate::names::HEAD;
use crate::raw::Scanner;
use crate::raw::frame::{FrameHeader, FrameKind};
use crate::recovery::{Inspected, inspect, is_settled, read_on};
use crate::storage::{File, read_exact_at};
use crate::sync::{Mutex, thread};
use crate::view::{Chain, Segment, View};
use crate::{LogId, Storage};
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often a look at the directory is repeated when files move meanwhile.
const RETRIES: u32 = 12;

/// How long a reader waits before it looks again at a directory in which files moved: 1 ms, then longer, so that a writer
/// that seals without a pause doesn't outrun it.
const MOVED_PAUSE: Duration = Duration::from_millis(1);
const MOVED_PAUSE_DOUBLINGS: u32 = 4;

/// How long a reader waits before it looks again at a head that doesn't check.
const HEAD_PAUSE: Duration = Duration::from_millis(2);

/// What a reader knows of the writer.
#[derive(Debug)]
pub(crate) struct Attachment {
    boot_id: [u8; 16],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<dyn File>>,
    seen: Option<Head>,
    /// What stood in the head for so long that it is damage, and worth no more waiting.
    damaged: Option<[u8; HEAD_BYTES]>,
}

impl Attachment {
    /// Attaches to the log in `storage`.
    pub(crate) fn open(storage: &Arc<dyn Storage>, footprint: Footprint) -> Result<(Self, LogId, Arc<View>)> {
        let (identity, _) = identity::read_or_told(&**storage)?;
        let log_id = LogId(identity.log_id);
        let attachment = Self { boot_id: storage.boot_id(), state: Mutex::default() };
        let view = Arc::new(View::new(Chain::default(), 0, footprint));
        attachment.relist(storage, log_id, &view)?;
        Ok((attachment, log_id, view))
    }

    /// Looks whether the writer has told anything new.
    pub(crate) fn refresh(&self, storage: &Arc<dyn Storage>, log_id: LogId, view: &View) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.read_head(storage, &mut state)?;
        match (head, state.seen) {
            (Some(head), Some(seen)) if head == seen => Ok(()),
            (Some(head), Some(seen)) if (head.ordinal, head.incarnation) == (seen.ordinal, seen.incarnation) => {
                if let Some(Segment::Raw(active)) = view.chain().segments.last() {
                    read_on(active, head.visible_seq())?;
                }
                view.advance(head.visible_seq(), head.durable_seq);
                state.seen = Some(head);
                Ok(())
            }
            // Without a head there is no writer, or none on this machine since it started: nothing grows.
            (None, None) => Ok(()),
            _ => self.list(&mut state, storage, log_id, view),
        }
    }

    /// Looks at the directory anew.
    pub(crate) fn relist(&self, storage: &Arc<dyn Storage>, log_id: LogId, view: &View) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.list(&mut state, storage, log_id, view)
    }

    fn list(&self, state: &mut State, storage: &Arc<dyn Storage>, log_id: LogId, view: &View) -> Result<()> {
        let mut attempt = 0;
        loop {
            if attempt > 0 {
                thread::sleep(MOVED_PAUSE * 2u32.pow((attempt - 1).min(MOVED_PAUSE_DOUBLINGS)));
            }
            attempt += 1;
            let seen = self.read_head(storage, state)?;
            let until_seq = seen.map_or(u64::MAX, |head| head.visible_seq());
            let looked = inspect(storage, log_id, until_seq, &view.chain()).and_then(|found| match seen {
                Some(head) => self.look_ahead(state, storage, log_id, head, found),
                None => Ok((found, None)),
            });
            let (found, head) = match looked {
                // A file was sealed or retired between the listing and its opening.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && attempt < RETRIES => {
                    continue;
                }
                found => found?,
            };
            let behind = head.is_some_and(|head| found.next_ordinal <= head.ordinal);
            if attempt < RETRIES && (behind || !is_settled(storage, &found.names)?) {
                continue;
            }
            // What recovery would keep is the bound where no writer tells more; what is written down as durable is
            // not taken back because a head is old.
            let visible = head.map_or(found.next_seq, |head| head.visible_seq().max(found.report.watermark));
            view.change(|chain| *chain = found.chain);
            view.advance(visible, found.report.watermark);
            state.seen = seen;
            return Ok(());
        }
    }

    /// Goes on behind what the head tells, as far as the frames there prove that they are durable. A head that they prove
    /// to be too old is none: the file system has lost it, and with it the writer.
    fn look_ahead(
        &self,
        state: &mut State,
        storage: &Arc<dyn Storage>,
        log_id: LogId,
        head: Head,
        found: Inspected,
    ) -> Result<(Inspected, Option<Head>)> {
        let Some(Segment::Raw(last)) = found.chain.segments.last() else { return Ok((found, Some(head))) };
        // In a scan of its own: behind what the head tells, a write may be under way.
        let mut scan = last.scan().clone();
        let (mut proven, mut told) = (0, 0);
        let mut each = |_: u64, header: &FrameHeader| {
            proven = proven.max(header.watermark);
            // The head is written before any frame that tells what it does, but for the final marker of a segment.
            told = told.max(if header.kind == FrameKind::Close { 0 } else { header.watermark });
        };
        let ahead = last.file.len();
        let ahead = ahead
            .and_then(|len| Scanner::new(&*last.file, len, last.salt).run_observed(&mut scan, u64::MAX, &mut each));
        ahead.map_err(Error::io("read", last.path.clone()))?;
        let newer = self.read_head(storage, state)?;
        let lost = newer.is_some_and(|newer| newer.durable_seq < told);
        let until_seq = if lost { u64::MAX } else { proven };
        if until_seq <= head.visible_seq() {
            return Ok((found, Some(head)));
        }
        Ok((inspect(storage, log_id, until_seq, &found.chain)?, (!lost).then_some(head)))
    }

    /// What the writer has told last, if that was since the machine started.
    ///
    /// # Errors
    /// What the operating system says of reading it: to go on without it would be to show what is not durable.
    fn read_head(&self, storage: &Arc<dyn Storage>, state: &mut State) -> Result<Option<Head>> {
        if state.file.is_none() {
            state.file = match storage.open(HEAD) {
                // What is no file was not made by a writer.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => None,
                opened => Some(opened.map_err(Error::io("open", storage.describe(HEAD)))?),
            };
        }
        let Some(file) = state.file.as_ref() else { return Ok(None) };
        let mut bytes = [0; HEAD_BYTES];
        for _ in 0..RETRIES {
            match read_exact_at(&**file, &mut bytes, 0) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read.map_err(Error::io("read", storage.describe(HEAD)))?,
            }
            if let Some(head) = Head::decode(&bytes) {
                return Ok(Some(head).filter(|head| head.boot_id == self.boot_id));
            }
            if state.damaged == Some(bytes) {
                return Ok(None);
            }
            // It was caught while it was being written, by a thread that may have been stopped in the middle of it. To
            // go on without it would be to show what is not durable.
            thread::sleep(HEAD_PAUSE);
        }
        state.damaged = Some(bytes);
        Ok(None)
    }
}
