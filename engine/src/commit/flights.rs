//! What is being written: chunks in flight, or everything by one thread alone.

use crate::commit::chunk::{Chunk, Job};
use crate::commit::state::State;
use std::collections::VecDeque;

/// How many chunks are being written at once.
pub(super) const FLIGHTS_MAX: usize = 8;
const _: () = assert!(super::landing::LANDINGS >= 2 * FLIGHTS_MAX);

impl State {
    /// Notes that somebody waits for the last chunk of the queue. Returns its number.
    pub(super) fn expect_landing(&mut self) -> u64 {
        if let Some(chunk) = self.queue.back_mut().and_then(Job::chunk_mut) {
            chunk.is_awaited = true;
        }
        self.next_chunk
    }

    /// Takes all jobs out of the queue, to be done alone.
    pub(super) fn take_jobs(&mut self) -> VecDeque<Job> {
        self.note_begun_block();
        if self.queued_bytes > 0 {
            self.meter.took_off(self.queued_bytes);
        }
        self.queued_bytes = 0;
        self.taken_seq = self.next_seq;
        let mut jobs = std::mem::take(&mut self.queue);
        jobs.iter_mut().for_each(Job::fill_block);
        jobs
    }

    /// Whether the first chunk of the queue can be written now, beside those that are being written.
    pub(super) fn can_fly(&self) -> bool {
        if self.leading || self.leads_wanted > 0 || self.flights.len() >= FLIGHTS_MAX {
            return false;
        }
        match self.queue.front() {
            Some(Job::Write(chunk)) if chunk.direct.is_some() => {
                self.flights.is_empty() || chunk.again == 0 && self.is_worth_a_flight(chunk)
            }
            _ => false,
        }
    }

    /// Whether a chunk should be written beside those in the air, and not wait for more: it is large, or has some appends and as
    /// many records as each of those on average. Otherwise threads that append at the same moment would write a block each.
    fn is_worth_a_flight(&self, chunk: &Chunk) -> bool {
        const APPENDS_MIN: u32 = 4;
        let in_the_air = self.taken_seq.saturating_sub(self.durable_seq);
        let waiting = chunk.end_seq.saturating_sub(self.taken_seq);
        let is_much = chunk.appends >= APPENDS_MIN && waiting * self.flights.len() as u64 >= in_the_air;
        is_large(chunk) || is_much
    }

    /// Whether a thread may do all that waits, alone.
    pub(super) fn can_lead(&self) -> bool {
        let is_free = !self.leading && !self.landing && self.flights.is_empty();
        is_free && !(self.syncing && self.has_to_sync())
    }

    /// Whether doing all that waits takes a sync.
    fn has_to_sync(&self) -> bool {
        self.sync_wanted > self.durable_seq || self.queue.iter().any(|job| matches!(job, Job::Close))
    }

    /// Takes the first chunk of the queue, if it can fly.
    pub(super) fn take_off(&mut self) -> Option<Chunk> {
        if !self.can_fly() {
            return None;
        }
        let (appends, is_large) =
            self.queue.front().and_then(Job::chunk).map_or((0, false), |chunk| (chunk.appends, is_large(chunk)));
        self.crowd.takes_off(appends);
        if self.queue.len() == 1 {
            if self.crowd.is_crowd(is_large) {
                self.pad(0);
            }
            self.note_begun_block();
        }
        self.queue.front_mut()?.fill_block();
        // What can fly is a chunk: see above.
        let Some(Job::Write(chunk)) = self.queue.pop_front() else { return None };
        self.meter.took_off(self.queued_bytes);
        self.queued_bytes = self.queued_bytes.saturating_sub(chunk.new_bytes());
        self.taken_seq = chunk.end_seq;
        if self.flights.is_empty() {
            self.first_flight = chunk.number;
        }
        self.flights.push_back(None);
        self.chunk_bytes_mean = (self.chunk_bytes_mean * 7 + chunk.bytes.len()) / 8;
        Some(chunk)
    }

    /// Takes in that a chunk has been written.
    pub(super) fn land(&mut self, chunk: Chunk) {
        let index = chunk.number.wrapping_sub(self.first_flight) as usize;
        if let Some(flight) = self.flights.get_mut(index) {
            *flight = Some(chunk);
        }
    }

    /// The chunks that are durable now, since all before them are; none once anything has failed.
    pub(super) fn take_landed(&mut self) -> Vec<Chunk> {
        let mut landed = Vec::new();
        while self.failed.is_none()
            && let Some(chunk) = self.flights.front_mut().and_then(Option::take)
        {
            self.flights.pop_front();
            self.first_flight += 1;
            self.crowd.landed(chunk.appends);
            landed.push(chunk);
        }
        landed
    }
}

/// Whether a chunk has so many bytes that a block more or less makes no difference.
fn is_large(chunk: &Chunk) -> bool {
    /// Writing so many bytes takes as long as writing one block.
    const CHUNK_BYTES_LARGE: usize = 32 << 10;
    chunk.bytes.len() >= CHUNK_BYTES_LARGE
}
