//! `annals stats`: records counted and fields added up, by groups.

use std::time::Duration;

use annals::{Damage, FieldPath, Gap, Group, StatisticsQuery, StatisticsWork, StreamName};
use clap::ValueEnum;
use serde::Serialize;

use crate::args::PlaceArg;
use crate::condition::{WhereArgs, parse_path};
use crate::failure::{Failure, Result};
use crate::groups::{Column, GroupFormat, Groups};
use crate::output::{OutputArgs, count, facts, note, plural, print, report};
use crate::place::{Place, StreamArgs};
use crate::range::{RangeArgs, with_threads};
use crate::records::Of;
use crate::time::parse_span;

/// So many damaged places and gaps are named on stderr; the others are only counted.
const PLACES_NAMED: usize = 20;

/// Count records and add up their fields, by groups.
///
/// Counts and sums are exact, and quantiles and counts of different values as far as docs/statistics.md says; what is not is
/// marked with ~. What is added up of sealed segments is kept beside them: asked again, only new records are read. The streams
/// of a store are taken as one log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    #[command(flatten)]
    streams: StreamArgs,

    /// A group for each value of this field; given more than once, for each combination of values
    #[arg(long = "by", value_name = "PATH", value_parser = parse_path)]
    by: Vec<FieldPath>,

    /// Groups for each span of time, too: 1h, 15m, 1d (of UTC)
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    every: Option<Duration>,

    /// Add up the values of this field; more than once, of each
    #[arg(long = "of", value_name = "PATH", value_parser = parse_path)]
    of: Vec<FieldPath>,

    /// What to tell of each field, separated by commas [default: all]
    #[arg(long, value_name = "NAME,…", value_enum, value_delimiter = ',')]
    show: Vec<Column>,

    #[command(flatten)]
    condition: WhereArgs,

    #[command(flatten)]
    range: RangeArgs,

    /// How to print the groups [default: table on a terminal, ndjson otherwise]
    #[arg(long = "format", value_enum, value_name = "FORMAT")]
    format: Option<GroupFormat>,

    /// Ask, and print what it took, in place of the groups
    #[arg(long)]
    explain: bool,

    #[command(flatten)]
    output: OutputArgs,

    /// At most N groups
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    groups_max: usize,

    /// At most about N MiB of memory for what is added up
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory_max: usize,

    /// Neither use nor keep what was added up of sealed segments
    #[arg(long)]
    no_keep: bool,
}

/// What `--explain` prints.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    work: StatisticsWork,
    groups: u64,
    /// Places of the log that could not be read.
    damage: u64,
}

/// The answer of a log, or of streams, which are named then.
struct Answer {
    groups: Vec<Group>,
    damage: Vec<(Option<StreamName>, Damage)>,
    gaps: Vec<(Option<StreamName>, Gap)>,
    work: StatisticsWork,
}

impl Answer {
    fn of(place: &Place, query: &StatisticsQuery) -> Result<Self> {
        match place {
            Place::Log(reader) => {
                let found = reader.statistics(query)?;
                let damage = found.damage.into_iter().map(|place| (None, place)).collect();
                let gaps = found.gaps.into_iter().map(|gap| (None, gap)).collect();
                Ok(Self { groups: found.groups, damage, gaps, work: found.work })
            }
            Place::Streams(store, names) => {
                let found = store.statistics(names, query)?;
                let damage = found.damage.into_iter().map(|(name, place)| (Some(name), place)).collect();
                let gaps = found.gaps.into_iter().map(|(name, gap)| (Some(name), gap)).collect();
                Ok(Self { groups: found.groups, damage, gaps, work: found.work })
            }
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let place = args.streams.open(&args.place.path)?;
    let columns = if args.show.is_empty() { Column::value_variants().to_vec() } else { args.show.clone() };
    let statistics = Answer::of(&place, &query(args, &place, &columns))?;
    tell(&statistics);
    if args.explain {
        let explained = Explained {
            work: statistics.work,
            groups: statistics.groups.len() as u64,
            damage: statistics.damage.len() as u64,
        };
        report(args.output.format(), &explained, || table(&explained))?;
    } else {
        let groups = Groups { by: &args.by, of: &args.of, columns: &columns, has_buckets: args.every.is_some() };
        print(groups.text(&statistics.groups, args.format.unwrap_or_default()).as_bytes())?;
    }
    match statistics.damage.len() as u64 {
        0 => Ok(()),
        places => Err(Failure::Integrity(format!(
            "{} of damage met: records are missing from the statistics. `annals verify` checks the whole log.",
            plural(places, "place")
        ))),
    }
}

fn query(args: &Args, place: &Place, columns: &[Column]) -> StatisticsQuery {
    let range = with_threads(args.range.scan_range(), place.records_max());
    let mut query = StatisticsQuery::over(range)
        .by(args.by.iter().cloned())
        .of(args.of.iter().cloned())
        .quantiles(columns.iter().any(|column| column.is_quantile()))
        .distinct(columns.contains(&Column::Distinct))
        .groups_max(args.groups_max)
        .memory_max(args.memory_max.saturating_mul(1 << 20))
        .keep(!args.no_keep);
    if let Some(span) = args.every {
        query = query.every(span);
    }
    match args.condition.condition() {
        Some(condition) => query.filter(condition),
        None => query,
    }
}

/// Names what is missing.
fn tell(statistics: &Answer) {
    for (stream, place) in statistics.damage.iter().take(PLACES_NAMED) {
        note(format_args!("annals: {}{place}", Of(stream.as_ref())));
    }
    for (stream, gap) in statistics.gaps.iter().take(PLACES_NAMED) {
        note(format_args!("annals: gap: {}{gap}", Of(stream.as_ref())));
    }
    if statistics.gaps.len() > PLACES_NAMED {
        note("annals: more gaps are met; `annals verify` lists all");
    }
}

fn table(explained: &Explained) -> String {
    let (work, query) = (&explained.work, &explained.work.query);
    facts([
        ("groups", count(explained.groups)),
        ("segments", count(work.segments_in_range)),
        ("  answered by what was kept", count(work.segments_kept)),
        ("  computed and kept", count(work.segments_stored)),
        ("  skipped by time", count(query.segments_skipped_by_time)),
        ("  skipped by index", count(query.segments_skipped_by_index)),
        ("  narrowed by index", count(query.segments_by_index)),
        ("blocks read", count(query.blocks_read)),
        ("  without making records", count(work.blocks_by_column)),
        ("records examined", count(query.records_examined)),
        ("records matched", count(query.records_matched)),
    ])
}
