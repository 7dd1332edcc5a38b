//! An export: first the schema of all its records, then the records, of a log or of the streams of a store.

use std::collections::BTreeMap;
use std::path::Path;

use annals::shape::Shape;
use annals::{Damage, Error, Gap, Reader, Record, SegmentInfo, StoreId, StoreReader, StreamName};
use annals_export::{DatasetSink, ExportOptions, FileSink, Plan, StreamSink};
use indicatif::ProgressBar;
use serde::Serialize;

use super::told::{Exported, Of, Written};
use super::{as_json, export_failure, is_file};
use crate::condition::WhereArgs;
use crate::failure::{Failure, Result};
use crate::interrupt::interrupted;
use crate::place::Place;
use crate::progress::records_bar;
use crate::range::{RangeArgs, with_threads};

/// Records between two looks at the clock and at signals.
const PROGRESS_RECORDS: u64 = 1024;

/// An export that is ready to run.
pub(crate) struct Job<'a> {
    pub(super) out: &'a Path,
    pub(super) options: ExportOptions,
    /// Which records.
    range: RangeArgs,
    condition: WhereArgs,
    skip_damaged: bool,
    /// In the order of the rows.
    parts: Vec<Part>,
    /// Streams that can't be opened at all.
    unopened: Vec<Of<Damage>>,
    /// Of a store, if its identity can be read.
    store_id: Option<StoreId>,
}

/// A log, or one stream, as far as it went when the export began: its records may be read twice.
struct Part {
    source: Source,
    log_id: String,
    first_seq: u64,
    end_seq: u64,
    /// What the log says is missing of the records asked for.
    gaps: Vec<Gap>,
    roots: Vec<Root>,
}

/// Opened for each reading, so that few streams are open at a time.
enum Source {
    Log(Reader),
    Stream(StoreReader, StreamName),
}

/// The root of a log's hash tree at the end of a sealed segment.
#[derive(Serialize)]
struct Root {
    end_seq: u64,
    root: String,
}

impl Source {
    fn open(&self) -> annals::Result<Reader> {
        match self {
            Self::Log(reader) => Ok(reader.clone()),
            Self::Stream(store, name) => store.stream(name),
        }
    }

    fn stream(&self) -> Option<&StreamName> {
        match self {
            Self::Log(_) => None,
            Self::Stream(_, name) => Some(name),
        }
    }
}

impl Part {
    /// What is there now.
    fn new(source: Source, range: &RangeArgs) -> annals::Result<Self> {
        let reader = source.open()?;
        reader.refresh()?;
        let (first_seq, end_seq) = (reader.first_seq(), reader.end_seq());
        let chosen = range.scan_range_below(end_seq);
        let gaps = reader.gaps()?.into_iter().filter(|gap| chosen.includes(gap)).collect();
        let segments = reader.info()?.segments.into_iter();
        let root = |segment: SegmentInfo| Some(Root { end_seq: segment.end_seq, root: segment.root? });
        let mut roots: Vec<Root> = segments.filter_map(root).collect();
        if source.stream().is_some() {
            // The last one stands for those before it, and there may be very many streams.
            roots.drain(..roots.len().saturating_sub(1));
        }
        Ok(Self { source, log_id: reader.id().to_string(), first_seq, end_seq, gaps, roots })
    }

    fn records_max(&self) -> u64 {
        self.end_seq.saturating_sub(self.first_seq)
    }
}

impl<'a> Job<'a> {
    /// An export of the whole log with the defaults.
    pub(crate) fn whole(reader: &Reader, out: &'a Path) -> Result<Self> {
        Self::new(Place::Log(reader.clone()), out, RangeArgs::default(), WhereArgs::default(), false)
    }

    /// An export of what `range` and `condition` select at a place, with the defaults. With `skip_damaged`, of what can be read of
    /// it.
    pub(super) fn new(
        place: Place,
        out: &'a Path,
        range: RangeArgs,
        condition: WhereArgs,
        skip_damaged: bool,
    ) -> Result<Self> {
        let mut options = ExportOptions::default();
        let (mut parts, mut unopened, mut store_id) = (Vec::new(), Vec::new(), None);
        match place {
            Place::Log(reader) => parts.push(Part::new(Source::Log(reader), &range)?),
            Place::Streams(reader, names) => {
                (options.with_stream, store_id) = (true, reader.id());
                for name in names {
                    match Part::new(Source::Stream(reader.clone(), name.clone()), &range) {
                        Ok(part) => parts.push(part),
                        Err(Error::Damaged(what)) if skip_damaged => unopened.push(Of { stream: Some(name), what }),
                        Err(Error::Damaged(what)) => return Err(nothing_exported(&what)),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(Self { out, options, range, condition, skip_damaged, parts, unopened, store_id })
    }

    /// Finds the schema, then writes the records.
    pub(crate) fn run(&self) -> Result<Exported> {
        let shape = self.shape()?;
        let plan = Plan::new(&shape, &self.options).map_err(export_failure)?;
        let metadata = self.metadata()?;
        let bar = records_bar("exporting", shape.records());
        let (written, damage) = if is_file(self.out) {
            let mut sink = FileSink::create(self.out, &plan, &self.options, &metadata).map_err(export_failure)?;
            let damage = self.push_all(&mut sink, &bar)?;
            (Written::File(sink.finish().map_err(export_failure)?), damage)
        } else {
            let mut sink = DatasetSink::create(self.out, &plan, &self.options, &metadata).map_err(export_failure)?;
            let damage = self.push_all(&mut sink, &bar)?;
            (Written::Dataset(sink.finish().map_err(export_failure)?), damage)
        };
        bar.finish_and_clear();
        let of = |part: &Part, gap: &Gap| Of { stream: part.source.stream().cloned(), what: gap.clone() };
        let gaps = self.parts.iter().flat_map(|part| part.gaps.iter().map(move |gap| of(part, gap))).collect();
        Ok(Exported { written, damage, gaps })
    }

    /// What the files tell of where they are from. The roots are those of hash trees at the ends of sealed segments, so that what
    /// was exported can be traced to what was sealed.
    fn metadata(&self) -> Result<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        let mut put = |key: &str, value: String| pairs.push((format!("annals.{key}"), value));
        if let Some(id) = self.store_id {
            put("store_id", id.to_string());
        }
        if self.options.with_stream {
            put("log_ids", self.by_stream(|part| Some(&part.log_id))?);
            put("merkle_roots", self.by_stream(|part| part.roots.last())?);
            put("gaps", self.by_stream(|part| Some(&part.gaps).filter(|gaps| !gaps.is_empty()))?);
        } else if let [part] = &self.parts[..] {
            put("log_id", part.log_id.clone());
            put("merkle_roots", as_json(&part.roots)?);
            put("gaps", as_json(&part.gaps)?);
        }
        Ok(pairs)
    }

    /// A JSON object: something of each stream that has it.
    fn by_stream<'p, T: Serialize + 'p>(&'p self, of: impl Fn(&'p Part) -> Option<T>) -> Result<String> {
        let named = self.parts.iter().filter_map(|part| Some((part.source.stream()?.as_str(), of(part)?)));
        as_json(&named.collect::<BTreeMap<_, _>>())
    }

    /// The exact shape of the records: of whole logs, mostly what was kept when they were sealed.
    fn shape(&self) -> Result<Shape> {
        let mut shape = Shape::new();
        let bar = records_bar("reading", self.parts.iter().map(Part::records_max).sum());
        for part in &self.parts {
            if self.range.is_all() && self.condition.is_all() {
                shape.merge(&self.open(part)?.shape(part.end_seq)?);
                continue;
            }
            // What is damaged is told when it is read again.
            self.each(part, &bar, &mut Vec::new(), |record| {
                shape.observe(record.body()).map_err(|error| {
                    Failure::Integrity(format!("the body of record {} is not MessagePack: {error}", record.seq()))
                })
            })?;
        }
        bar.finish_and_clear();
        Ok(shape)
    }

    fn push_all(&self, sink: &mut impl StreamSink, bar: &ProgressBar) -> Result<Vec<Of<Damage>>> {
        let mut damage = self.unopened.clone();
        for part in &self.parts {
            if let Some(stream) = part.source.stream() {
                sink.begin_stream(stream.as_str()).map_err(export_failure)?;
            }
            self.each(part, bar, &mut damage, |record| {
                let pushed = sink.push(record.seq(), record.timestamp().as_micros(), record.body());
                pushed.map_err(export_failure)
            })?;
        }
        Ok(damage)
    }

    fn open(&self, part: &Part) -> Result<Reader> {
        Ok(part.source.open()?)
    }

    /// Calls `take` with each record of a part. Damage that is to be skipped is added to `damage`.
    fn each(
        &self,
        part: &Part,
        bar: &ProgressBar,
        damage: &mut Vec<Of<Damage>>,
        mut take: impl FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let range = with_threads(self.range.scan_range_below(part.end_seq), part.records_max());
        let mut matches = self.open(part)?.query(&self.condition.query(range))?;
        let mut done = 0u64;
        loop {
            match matches.advance() {
                Ok(Some(record)) => take(record).map_err(|failure| named(part, failure))?,
                Ok(None) => {
                    bar.inc(done % PROGRESS_RECORDS);
                    return Ok(());
                }
                Err(Error::Damaged(what)) if self.skip_damaged => {
                    damage.push(Of { stream: part.source.stream().cloned(), what });
                }
                Err(Error::Damaged(what)) => return Err(nothing_exported(&what)),
                Err(error) => return Err(error.into()),
            }
            done += 1;
            if done.is_multiple_of(PROGRESS_RECORDS) {
                bar.inc(PROGRESS_RECORDS);
            }
            if done % PROGRESS_RECORDS == 1 && interrupted() {
                return Err(Failure::Interrupted);
            }
        }
    }
}

fn nothing_exported(place: &Damage) -> Failure {
    Failure::Integrity(format!(
        "{place}. Nothing was exported; --skip-damaged exports what can be read, and `annals verify` tells all that can't"
    ))
}

/// The failure, with the stream it is of: a seq alone doesn't tell the record then.
fn named(part: &Part, failure: Failure) -> Failure {
    let Some(name) = part.source.stream() else { return failure };
    match failure {
        Failure::Failed(text) => Failure::Failed(format!("stream {name}: {text}")),
        Failure::Integrity(text) => Failure::Integrity(format!("stream {name}: {text}")),
        other => other,
    }
}
