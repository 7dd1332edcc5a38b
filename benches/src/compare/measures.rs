//! What is measured. To add a measure: a line in [`ALL`], and if it is of a new kind, an arm in `child.rs`.

use crate::contenders::{Facts, Index};

/// One row of the comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// What it is called on the command line and in the results.
    pub name: &'static str,
    /// What it is, for the report.
    pub title: &'static str,
    /// How it is done.
    pub kind: Kind,
    /// What its figure is.
    pub unit: Unit,
}

/// How a measure is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Threads append, each waiting for each append.
    Append {
        /// How many.
        threads: u64,
        /// Events an append.
        batch: usize,
        /// Whether an append returns when it is durable.
        durable: bool,
        /// Of how many of the run's events one is appended.
        of: u64,
    },
    /// One thread appends without waiting; another waits for some of what it appended.
    Tickets,
    /// A store of all events is made, for the measures that read; what it takes on the disk.
    Store {
        /// With this index.
        index: Index,
    },
    /// Random events by seq.
    Get {
        /// With the page cache dropped once the store is open.
        cold: bool,
    },
    /// Random events by their unique id.
    Find {
        /// With the page cache dropped once the store is open.
        cold: bool,
    },
    /// All events in order, decoded.
    Scan,
    /// The hundredth of the events in the middle, by time, decoded.
    Window,
    /// Opening what was closed, with the page cache dropped.
    OpenClean,
    /// Opening what a killed process left.
    OpenKilled,
    /// Writing Parquet.
    Export,
    /// Count, average and p99 by group.
    Aggregate,
}

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Events in a second.
    EventsPerSecond,
    /// Median time, in µs.
    Micros,
    /// Time, in ms.
    Millis,
    /// Time, in s.
    Seconds,
    /// Bytes on the disk for each event.
    BytesPerEvent,
}

const fn append(name: &'static str, title: &'static str, kind: (u64, usize, bool, u64)) -> Measure {
    let (threads, batch, durable, of) = kind;
    Measure { name, title, kind: Kind::Append { threads, batch, durable, of }, unit: Unit::EventsPerSecond }
}

const fn measure(name: &'static str, title: &'static str, kind: Kind, unit: Unit) -> Measure {
    Measure { name, title, kind, unit }
}

/// Everything that is measured, in the order of the report. The slower an append, the fewer of the events it gets.
pub(super) const ALL: [Measure; 22] = [
    append("durable-1", "Durable, one event a sync, 1 thread", (1, 1, true, 20)),
    append("durable-4", "Durable, one event an append, 4 threads", (4, 1, true, 10)),
    append("durable-16", "Durable, one event an append, 16 threads", (16, 1, true, 4)),
    append("durable-64", "Durable, one event an append, 64 threads", (64, 1, true, 2)),
    append("batch-1", "Durable, batches of 100, 1 thread", (1, 100, true, 1)),
    append("batch-4", "Durable, batches of 100, 4 threads", (4, 100, true, 1)),
    measure("tickets", "Durable, one event an append, not waited for, 1 thread", Kind::Tickets, Unit::EventsPerSecond),
    append("unsynced-1", "Not synced, one event an append, 1 thread", (1, 1, false, 1)),
    append("unsynced-4", "Not synced, one event an append, 4 threads", (4, 1, false, 1)),
    measure("store", "Bytes on the disk", Kind::Store { index: Index::None }, Unit::BytesPerEvent),
    measure(
        "store-times",
        "Bytes on the disk, with an index of times",
        Kind::Store { index: Index::Times },
        Unit::BytesPerEvent,
    ),
    measure(
        "store-ids",
        "Bytes on the disk, with an index of ids",
        Kind::Store { index: Index::Ids },
        Unit::BytesPerEvent,
    ),
    measure("get-warm", "Random event by seq, page cache warm", Kind::Get { cold: false }, Unit::Micros),
    measure("get-cold", "Random event by seq, page cache dropped", Kind::Get { cold: true }, Unit::Micros),
    measure("find-warm", "Random event by its unique id, page cache warm", Kind::Find { cold: false }, Unit::Micros),
    measure("find-cold", "Random event by its unique id, page cache dropped", Kind::Find { cold: true }, Unit::Micros),
    measure("scan", "Scan of all events to owned structs, 1 thread", Kind::Scan, Unit::EventsPerSecond),
    measure("window", "1 % of the events by time, to owned structs", Kind::Window, Unit::Millis),
    measure("open-clean", "Opening a closed store, page cache dropped", Kind::OpenClean, Unit::Millis),
    measure("open-killed", "Opening a store whose writer was killed", Kind::OpenKilled, Unit::Millis),
    measure("export", "Export of all events to Parquet, zstd", Kind::Export, Unit::Seconds),
    measure(
        "aggregate",
        "Count, average and p99 of `latency_ms` by `event_type` of all events",
        Kind::Aggregate,
        Unit::Millis,
    ),
];

impl Measure {
    /// The measure of this name.
    pub(super) fn find(name: &str) -> Option<&'static Measure> {
        ALL.iter().find(|measure| measure.name == name)
    }

    /// Whether a contender with these facts is measured in it.
    pub(super) fn is_for(&self, facts: &Facts) -> bool {
        match self.kind {
            Kind::Append { durable: true, .. } => facts.durable.is_some(),
            Kind::Append { durable: false, .. } => facts.unsynced.is_some(),
            Kind::Tickets => facts.tickets.is_some(),
            Kind::Store { index: Index::None } | Kind::Scan | Kind::OpenClean => facts.reads.is_some(),
            Kind::Store { index: Index::Times } => facts.time_index,
            Kind::Store { index: Index::Ids } | Kind::Find { .. } => facts.finds.is_some(),
            Kind::Get { .. } => facts.reads.is_some() && facts.gets,
            Kind::Window => facts.window.is_some(),
            Kind::OpenKilled => facts.reads.is_some() && (facts.durable.is_some() || facts.unsynced.is_some()),
            Kind::Export => facts.export.is_some(),
            Kind::Aggregate => facts.aggregates.is_some(),
        }
    }

    /// The index of the store that it reads, if it reads one that another measure makes.
    pub(super) fn needs_store(&self, facts: &Facts) -> Option<Index> {
        match self.kind {
            Kind::Get { .. } | Kind::Scan | Kind::OpenClean => Some(Index::None),
            Kind::Window => Some(if facts.time_index { Index::Times } else { Index::None }),
            Kind::Find { .. } => Some(Index::Ids),
            Kind::Export | Kind::Aggregate if facts.reads.is_some() => Some(Index::None),
            _ => None,
        }
    }

    /// How many of the run's events it appends or reads.
    pub(super) fn events(&self, all: u64) -> u64 {
        match self.kind {
            Kind::Append { of, threads, batch, .. } => (all / of).max(threads * batch as u64).min(all),
            _ => all,
        }
    }
}

impl Unit {
    /// Whether more of it is better.
    pub(super) fn is_better_high(self) -> bool {
        self == Unit::EventsPerSecond
    }

    /// Its name in a table.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::EventsPerSecond => "events/s",
            Self::Micros => "p50 µs",
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::BytesPerEvent => "B/event",
        }
    }

    /// How much better `ours` is than `theirs`.
    pub(super) fn advantage(self, ours: f64, theirs: f64) -> f64 {
        if self.is_better_high() { ours / theirs } else { theirs / ours }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for measure in &ALL {
            assert_eq!(ALL.iter().filter(|other| other.name == measure.name).count(), 1);
            assert_eq!(Measure::find(measure.name).map(|found| found.title), Some(measure.title));
        }
    }

    #[test]
    fn every_contender_is_measured_in_something() {
        for contender in crate::contenders::all() {
            let facts = contender.facts();
            assert!(ALL.iter().any(|measure| measure.is_for(&facts)), "{}", facts.name);
        }
    }

    #[test]
    fn a_tiny_run_has_an_append_for_each_thread() {
        let all = |name: &str, events| Measure::find(name).map(|measure| measure.events(events));
        assert_eq!(all("durable-64", 100), Some(64));
        assert_eq!(all("batch-4", 1_000), Some(1_000));
        assert_eq!(all("durable-1", 1_000_000), Some(50_000));
    }
}
