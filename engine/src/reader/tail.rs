//! Following a log as it grows.

use crate::error::{Error, Result};
use crate::gap::Gap;
use crate::reader::{ReadBuffer, Reader};
use crate::record::RecordBuf;
use crate::sync::{Instant, thread};
use std::time::Duration;

/// How often a reader looks at the head of a log that another process writes: at first, and when nothing happens for
/// long.
const POLL_MIN: Duration = Duration::from_millis(1);
const POLL_MAX: Duration = Duration::from_millis(20);

/// Returns the records of a log one after the other, and waits for those to come.
#[derive(Debug)]
pub struct Tail {
    reader: Reader,
    next: u64,
    buffer: ReadBuffer,
    gaps: Vec<Gap>,
}

impl Tail {
    pub(crate) fn new(reader: Reader, next: u64) -> Self {
        Self { reader, next, buffer: ReadBuffer::new(), gaps: Vec::new() }
    }

    /// The seq of the record that is next.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// The next record. Waits for it for at most `timeout`, or for ever; `None` if it didn't come, or if the log was
    /// closed in this process.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the record can't be read, [`crate::Error::Removed`] if retention has removed it; the next
    /// call goes on behind what is damaged or removed.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<RecordBuf>> {
        // Of all that it passes over: a log may go on telling of gaps for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if !self.wait(deadline)? {
                return Ok(None);
            }
            match self.step() {
                Err(Error::Gap(gap)) => {
                    self.next = gap.end_seq;
                    self.gaps.push(gap);
                }
                outcome => return outcome,
            }
        }
    }

    /// The gaps met since the last call: records that the log says are missing.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    fn step(&mut self) -> Result<Option<RecordBuf>> {
        match self.reader.get_into(self.next, &mut self.buffer) {
            Ok(record) => {
                let record = record.map(|record| record.to_owned());
                self.next += u64::from(record.is_some());
                Ok(record)
            }
            Err(error) => {
                match &error {
                    Error::Damaged(damage) => self.next = damage.end_seq.unwrap_or(0).max(self.next + 1),
                    Error::Removed(removal) => self.next = removal.end_seq,
                    _ => {}
                }
                Err(error)
            }
        }
    }

    /// Waits until the next record is visible. `false` if it isn't.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool> {
        let source = self.reader.source();
        let here = || source.view.visible_seq() > self.next;
        if !source.is_attached() {
            source.view.records.wait(deadline, || here() || source.is_closed());
            return Ok(here());
        }
        let mut pause = POLL_MIN;
        loop {
            if here() {
                return Ok(true);
            }
            source.refresh()?;
            if here() {
                return Ok(true);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => return Ok(false),
                Some(left) => thread::sleep(pause.min(left)),
                None => thread::sleep(pause),
            }
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}
