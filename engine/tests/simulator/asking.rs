//! Queries by fields that are indexed, or not, or in part: answered as by a look at every record.

use crate::simulator::model::{Entry, Failure, Step};
use crate::simulator::random::Random;
use annals::{FieldPath, Options, Query, Reader, ScanRange, field};

/// How many values the field `k` of records has.
pub(crate) const CLASSES: u64 = 5;

fn path(name: &str) -> Step<FieldPath> {
    field(name).map_err(|error| Failure::Broken(error.to_string()))
}

/// Options that index other fields than before, or leave that as it is.
pub(crate) fn with_indexes(options: Options, random: &mut Random) -> Step<Options> {
    let fields: &[&str] = match random.below(10) {
        0..4 => return Ok(options),
        4 => &[],
        5 => &["k"],
        6 | 7 => &["i"],
        _ => &["i", "k"],
    };
    Ok(options.index_fields(fields.iter().map(|name| path(name)).collect::<Step<Vec<_>>>()?))
}

/// Asks for the records with one value of a field, of which `reader` has to find those of `entries` that it sees.
pub(crate) fn ask(reader: &Reader, entries: &[Entry], random: &mut Random) -> Step {
    let end = reader.end_seq() as usize;
    // The id of one that is there, or was, or has never been.
    let id = entries.get(random.below(end + 2)).and_then(Entry::id).unwrap_or(u64::MAX);
    let class = random.next() % (CLASSES + 1);
    let by_id = random.percent(50);
    let condition = if by_id { path("i")?.is(id) } else { path("k")?.is(class) };
    let holds = |entry: &Entry| match by_id {
        true => entry.id() == Some(id),
        false => entry.id().is_some_and(|id| id % CLASSES == class),
    };
    let is_reverse = random.percent(30);
    let range = if is_reverse { ScanRange::all().reverse() } else { ScanRange::all() };
    let matches = reader.query(&Query::over(range).filter(condition.clone()))?;
    let found = matches.map(|record| Ok(record?.seq() as usize)).collect::<Step<Vec<_>>>()?;
    let all = reader.first_seq() as usize..end;
    let mut expected: Vec<usize> = all.filter(|seq| holds(&entries[*seq])).collect();
    if is_reverse {
        expected.reverse();
    }
    match found == expected {
        true => Ok(()),
        false => Err(Failure::Broken(format!("{condition} gives {found:?}, not {expected:?}"))),
    }
}
