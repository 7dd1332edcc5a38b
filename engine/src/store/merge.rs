//! The records of several streams, merged by time.

use crate::Timestamp;
use crate::error::{Error, Result};
use crate::gap::Gap;
use crate::names::StreamName;
use crate::query::{Matches, Query, QueryStats};
use crate::record::Record;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The records that a query finds in a store, one after the other: see [`crate::StoreReader::query`].
#[derive(Debug)]
pub struct StoreMatches {
    /// In the order of the names.
    cursors: Vec<Cursor>,
    /// The record that comes next in each stream that has one: its time, and which stream.
    heads: Heads,
    /// The streams of which the next record is to be found, the last one first.
    to_fill: Vec<usize>,
    /// The stream of the last result.
    at: usize,
    left: u64,
}

/// Where one stream's part of the query is.
#[derive(Debug)]
struct Cursor {
    name: StreamName,
    /// `None` once there is no more.
    matches: Option<Matches>,
    /// Why the stream could not be opened, until that was told.
    unopened: Option<Error>,
    /// What is known of `matches` when that is over.
    gaps: Vec<Gap>,
    stats: QueryStats,
}

/// Which record is next.
#[derive(Debug)]
enum Heads {
    Forward(BinaryHeap<Reverse<(Timestamp, usize)>>),
    Backward(BinaryHeap<(Timestamp, usize)>),
}

impl Heads {
    fn push(&mut self, time: Timestamp, index: usize) {
        match self {
            Self::Forward(heap) => heap.push(Reverse((time, index))),
            Self::Backward(heap) => heap.push((time, index)),
        }
    }

    fn pop(&mut self) -> Option<usize> {
        match self {
            Self::Forward(heap) => heap.pop().map(|Reverse((_, index))| index),
            Self::Backward(heap) => heap.pop().map(|(_, index)| index),
        }
    }
}

impl StoreMatches {
    /// Those of streams in the order of their names, each with its own part of `query`, or why there is none.
    pub(super) fn new(streams: Vec<(StreamName, Result<Matches>)>, query: &Query) -> Self {
        let cursor = |(name, matches): (StreamName, Result<Matches>)| {
            let (matches, unopened) = match matches {
                Ok(matches) => (Some(matches), None),
                Err(error) => (None, Some(error)),
            };
            Cursor { name, matches, unopened, gaps: Vec::new(), stats: QueryStats::default() }
        };
        let cursors: Vec<Cursor> = streams.into_iter().map(cursor).collect();
        let heads = match query.is_reverse() {
            false => Heads::Forward(BinaryHeap::new()),
            true => Heads::Backward(BinaryHeap::new()),
        };
        let to_fill = (0..cursors.len()).rev().collect();
        Self { cursors, heads, to_fill, at: 0, left: query.records_max() }
    }

    /// The next record, and its stream; `None` at the end.
    ///
    /// # Errors
    /// As [`Matches::advance`], of the stream that [`StoreMatches::stream`] names then. After damage the query may be continued,
    /// in that stream behind what is damaged, and in all others; a stream that can't be opened at all is told once.
    pub fn advance(&mut self) -> Result<Option<(&StreamName, Record<'_>)>> {
        if self.left == 0 {
            return Ok(None);
        }
        while let Some(&index) = self.to_fill.last() {
            self.at = index;
            if let Some(time) = self.cursors[index].next()? {
                self.heads.push(time, index);
            }
            self.to_fill.pop();
        }
        let Some(index) = self.heads.pop() else { return Ok(None) };
        (self.at, self.left) = (index, self.left - 1);
        self.to_fill.push(index);
        let cursor = &self.cursors[index];
        let record = cursor.matches.as_ref().and_then(Matches::current);
        Ok(record.map(|record| (&cursor.name, record)))
    }

    /// The stream that the last result, a record or an error, was of; `None` if there are no streams.
    pub fn stream(&self) -> Option<&StreamName> {
        self.cursors.get(self.at).map(|cursor| &cursor.name)
    }

    /// The gaps met so far, stream by stream: see [`crate::Scan::gaps`].
    pub fn gaps(&self) -> impl Iterator<Item = (&StreamName, &Gap)> {
        self.cursors.iter().flat_map(|cursor| cursor.gaps().iter().map(move |gap| (&cursor.name, gap)))
    }

    /// What was done so far, in all streams.
    pub fn stats(&self) -> QueryStats {
        let stats = self.cursors.iter().map(|cursor| cursor.matches.as_ref().map_or(cursor.stats, Matches::stats));
        stats.fold(QueryStats::default(), QueryStats::plus)
    }
}

impl Cursor {
    /// Finds the next record, and tells its time; `None` at the end.
    fn next(&mut self) -> Result<Option<Timestamp>> {
        if let Some(error) = self.unopened.take() {
            return Err(error);
        }
        let Some(matches) = &mut self.matches else { return Ok(None) };
        if let Some(record) = matches.advance()? {
            return Ok(Some(record.timestamp()));
        }
        // A stream that has come to its end takes no memory any more.
        (self.gaps, self.stats) = (matches.gaps().to_vec(), matches.stats());
        self.matches = None;
        Ok(None)
    }

    fn gaps(&self) -> &[Gap] {
        self.matches.as_ref().map_or(&self.gaps, Matches::gaps)
    }
}
