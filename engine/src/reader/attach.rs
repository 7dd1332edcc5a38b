//! Following a log that another process writes, or nobody: by its directory and its head.

use crate::commit::{HEAD_BYTES, Head};
use crate::error::{Error, Result};
use crate::log::identity;
use crate::names::HEAD;
use crate::recovery::{inspect, read_on};
use crate::storage::{File, read_exact_at};
use crate::view::{Chain, Segment, View};
use crate::{LogId, Storage};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// How often a look at the directory is repeated when files move meanwhile.
const RETRIES: usize = 8;

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
}

impl Attachment {
    /// Attaches to the log in `storage`.
    pub(crate) fn open(storage: &Arc<dyn Storage>) -> Result<(Self, LogId, Arc<View>)> {
        let (identity, _) = identity::read_or_told(&**storage)?;
        let log_id = LogId(identity.log_id);
        let attachment = Self { boot_id: storage.boot_id(), state: Mutex::default() };
        let view = Arc::new(View::new(Chain::default(), 0));
        attachment.relist(storage, log_id, &view)?;
        Ok((attachment, log_id, view))
    }

    /// Looks whether the writer has told anything new.
    pub(crate) fn refresh(&self, storage: &Arc<dyn Storage>, log_id: LogId, view: &View) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.read_head(storage, &mut state);
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
            attempt += 1;
            let head = self.read_head(storage, state);
            let until_seq = head.map_or(u64::MAX, |head| head.visible_seq());
            let found = match inspect(storage, log_id, until_seq, &view.chain()) {
                // A file was sealed or retired between the listing and its opening.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && attempt < RETRIES => {
                    continue;
                }
                found => found?,
            };
            let behind = head.is_some_and(|head| found.next_ordinal <= head.ordinal);
            if behind && attempt < RETRIES {
                continue;
            }
            // What recovery would keep is the bound where no writer tells more; what is written down as durable is
            // not taken back because a head is old.
            let visible = head.map_or(found.next_seq, |head| head.visible_seq().max(found.report.watermark));
            view.change(|chain| *chain = found.chain);
            view.advance(visible, found.report.watermark);
            state.seen = head;
            return Ok(());
        }
    }

    /// What the writer has told last, if that was since the machine started.
    fn read_head(&self, storage: &Arc<dyn Storage>, state: &mut State) -> Option<Head> {
        if state.file.is_none() {
            state.file = storage.open(HEAD).ok();
        }
        let file = state.file.as_ref()?;
        // A head that is caught while it is being written doesn't check; the next look is better.
        (0..RETRIES).find_map(|_| {
            let mut bytes = [0; HEAD_BYTES];
            read_exact_at(&**file, &mut bytes, 0).ok()?;
            Head::decode(&bytes).filter(|head| head.boot_id == self.boot_id)
        })
    }
}
