//! Reports of a log, or of the streams of a store: one for each.

use std::fmt::Write;
use std::path::Path;

use annals::{Damage, Error, StoreId, StoreReader, StreamName, Timestamp};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::output::{self, Format, plural};

/// What is said of one stream.
#[derive(Serialize)]
pub(crate) struct OfStream<T> {
    pub(crate) stream: StreamName,
    #[serde(flatten)]
    pub(crate) report: Option<T>,
    /// Why there is no report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl<T> OfStream<T> {
    /// What is said of `stream`, if that is not too damaged to say it. All other failures are returned.
    pub(crate) fn new(stream: StreamName, report: annals::Result<T>) -> Result<Self> {
        match report {
            Ok(report) => Ok(Self { stream, report: Some(report), error: None }),
            Err(error) if error.is_damage() => Ok(Self { stream, report: None, error: Some(error.to_string()) }),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is said of the streams of a store.
#[derive(Serialize)]
pub(crate) struct OfStore<T> {
    store: String,
    store_id: Option<StoreId>,
    created: Option<Timestamp>,
    /// What is wrong with the store's own file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<Damage>,
    pub(crate) streams: Vec<OfStream<T>>,
}

impl<T: Serialize> OfStore<T> {
    pub(crate) fn new(store: &StoreReader, streams: Vec<OfStream<T>>) -> Self {
        let (store_id, created, damage) = (store.id(), store.created(), store.damage().to_vec());
        Self { store: store.path(), store_id, created, damage, streams }
    }

    /// Prints the report; for people each stream under its name, as `table` draws it.
    pub(crate) fn print(&self, format: Format, table: impl Fn(&T) -> String) -> Result<()> {
        output::report(format, self, || {
            let mut text = format!("{}: {}", self.store, plural(self.streams.len() as u64, "stream"));
            for stream in &self.streams {
                let told = stream.report.as_ref().map_or_else(|| stream.error.clone().unwrap_or_default(), &table);
                let _ = write!(text, "\n\nstream {}\n{told}", stream.stream);
            }
            text
        })
    }

    /// Fails if a stream could not be read, or the store's own file, or `is_damaged` says so of a report.
    pub(crate) fn check(&self, is_damaged: impl Fn(&T) -> bool) -> Result<()> {
        let damaged = |stream: &&OfStream<T>| stream.report.as_ref().is_none_or(&is_damaged);
        let names: Vec<_> = self.streams.iter().filter(damaged).map(|stream| stream.stream.as_str()).collect();
        if !names.is_empty() {
            let count = plural(names.len() as u64, "stream");
            return Err(Failure::Integrity(format!("{count} of {} are damaged: {}", self.store, names.join(", "))));
        }
        match self.damage.first() {
            Some(damage) => Err(Failure::Integrity(format!(
                "{damage}. The streams of the store are not damaged; `annals repair` mends the file"
            ))),
            None => Ok(()),
        }
    }
}

/// Prints what was done to a log, or to each of the streams of the store at `path`. What was done before a failure is told
/// all the same.
pub(crate) fn print_done<T: Serialize>(
    format: Format,
    path: &Path,
    done: Vec<(Option<StreamName>, T)>,
    outcome: Result<()>,
    table: impl Fn(&T) -> String,
) -> Result<()> {
    if let [(None, report)] = &done[..] {
        return outcome.and(output::report(format, report, || table(report)));
    }
    let store = match StoreReader::open(path) {
        Ok(store) if outcome.is_ok() || !done.is_empty() => store,
        Err(error) if !matches!(error, Error::NotAStore { .. }) => return outcome.and(Err(error.into())),
        _ => return outcome,
    };
    let of_stream = |(name, report): (Option<StreamName>, T)| {
        name.map(|stream| OfStream { stream, report: Some(report), error: None })
    };
    let printed = OfStore::new(&store, done.into_iter().filter_map(of_stream).collect()).print(format, table);
    outcome.and(printed)
}
