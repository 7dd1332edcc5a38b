//! Which records: `--seq A..B`, `--since`, `--until`, `--limit`.

use std::ops::Range;

use annals::{ScanRange, Timestamp};

use crate::time::parse_moment;

/// Fewer records are not worth starting threads.
const THREADS_RECORDS: u64 = 20_000;

/// Threads that decompress: more than one or two are ahead of whatever takes the records.
const THREADS_MAX: usize = 3;

/// `range` with as many threads as suit at most so many records.
pub(crate) fn with_threads(range: ScanRange, records: u64) -> ScanRange {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    range.threads(if records < THREADS_RECORDS { 1 } else { cores.min(THREADS_MAX) })
}

/// The options that select records.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RangeArgs {
    /// Only records with these seqs: A..B (without B), A.. , ..B, or A alone
    #[arg(long, value_name = "A..B", value_parser = parse_seqs)]
    pub(crate) seq: Option<Range<u64>>,

    /// Only records of this time or later: a date, a date and time, an epoch, or a span before now such as -2h
    #[arg(long, value_name = "TIME", value_parser = parse_moment, allow_hyphen_values = true)]
    pub(crate) since: Option<Timestamp>,

    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment, allow_hyphen_values = true)]
    pub(crate) until: Option<Timestamp>,
}

impl RangeArgs {
    /// Whether no record is left out.
    pub(crate) fn is_all(&self) -> bool {
        self.seq.is_none() && self.since.is_none() && self.until.is_none()
    }

    /// The same for the engine.
    pub(crate) fn scan_range(&self) -> ScanRange {
        self.scan_range_below(u64::MAX)
    }

    /// The same, without records at `end_seq` or above.
    pub(crate) fn scan_range_below(&self, end_seq: u64) -> ScanRange {
        let seqs = self.seq.clone().unwrap_or(0..u64::MAX);
        let mut range = ScanRange::all().seqs(seqs.start..seqs.end.min(end_seq));
        if let Some(since) = self.since {
            range = range.since(since);
        }
        if let Some(until) = self.until {
            range = range.until(until);
        }
        range
    }
}

/// Reads `A..B`, `A..`, `..B`, `..` or `A`.
pub(crate) fn parse_seqs(text: &str) -> Result<Range<u64>, String> {
    let expected = || "expected seqs such as 100..200 (without 200), 100.., ..200 or 100".to_owned();
    let seq = |text: &str| text.trim().parse::<u64>().map_err(|_| expected());
    let Some((start, end)) = text.split_once("..") else {
        let seq = seq(text)?;
        return Ok(seq..seq.checked_add(1).ok_or_else(expected)?);
    };
    let start = if start.trim().is_empty() { 0 } else { seq(start)? };
    let end = if end.trim().is_empty() { u64::MAX } else { seq(end)? };
    if start > end {
        return Err(format!("the range ends before it starts; did you mean {end}..{start}?"));
    }
    Ok(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_range() {
        assert_eq!(parse_seqs("5..10"), Ok(5..10));
        assert_eq!(parse_seqs("5.."), Ok(5..u64::MAX));
        assert_eq!(parse_seqs("..10"), Ok(0..10));
        assert_eq!(parse_seqs(".."), Ok(0..u64::MAX));
        assert_eq!(parse_seqs("7"), Ok(7..8));
        assert_eq!(parse_seqs("7..7"), Ok(7..7));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "a", "-1", "1..b", "1...2", "1..=2", "18446744073709551615", "99999999999999999999"] {
            assert!(parse_seqs(text).is_err(), "{text}");
        }
        assert!(parse_seqs("9..3").is_err_and(|error| error.contains("3..9")));
    }
}
