//! Runs all measurements, interleaved, each when the machine is quiet.

use super::job::{Job, Sample};
use super::measures::{ALL, Kind, Measure};
use super::{RunArgs, charts, report};
use crate::contenders::{Contender, Index};
use crate::items::Source;
use crate::system::{Machine, wait_until_quiet, write_back};
use crate::{Error, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many events are looked at for their size.
const SIZED: u64 = 20_000;
/// A machine is quiet when others use less of it.
pub(super) const BUSY_MAX: f64 = 0.1;

/// Everything that a run found: `results.json`.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) source: Source,
    pub(super) events: u64,
    /// Mean bytes of an event as JSON and as MessagePack, of the first few.
    pub(super) json_bytes: f64,
    pub(super) messagepack_bytes: f64,
    pub(super) repetitions: usize,
    pub(super) seconds_max: f64,
    pub(super) quiet_seconds: f64,
    pub(super) contenders: Vec<Measured>,
    /// What was left out or went wrong, and why.
    pub(super) failures: Vec<String>,
    pub(super) left_out: Vec<String>,
    pub(super) run_seconds: f64,
    pub(super) samples: Vec<Sample>,
}

/// A contender, for the report.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) durable: Option<&'static str>,
    pub(super) unsynced: Option<&'static str>,
    pub(super) tickets: Option<&'static str>,
    pub(super) reads: Option<&'static str>,
    pub(super) window: Option<&'static str>,
    pub(super) finds: Option<&'static str>,
    pub(super) export: Option<&'static str>,
    pub(super) aggregates: Option<&'static str>,
}

/// One measurement that is to be done.
struct Task<'a> {
    measure: &'static Measure,
    contender: &'a dyn Contender,
    repetition: usize,
}

pub(super) fn run(args: &RunArgs, contenders: &[Box<dyn Contender>]) -> Result<()> {
    let begun = Instant::now();
    fs::create_dir_all(&args.out)?;
    let data = args.dir.join(format!("compare-{}", std::process::id()));
    fs::create_dir_all(&data)?;
    let source = args.source();
    let events = source.count(args.events)?;
    if events == 0 {
        return Err("there are no events".into());
    }
    let (json_bytes, messagepack_bytes) = source.mean_bytes(events.min(SIZED))?;
    let mut left_out = Vec::new();
    let mut chosen = choose(args, contenders, &mut left_out)?;
    let first = source.items()?.next().transpose()?;
    if first.as_ref().is_none_or(|item| item.id().is_none()) {
        let reason = "these events have no `request_id` to find them by";
        let needs_ids = |kind| matches!(kind, Kind::Find { .. } | Kind::Store { index: Index::Ids });
        leave_out(&mut chosen, needs_ids, reason, &mut left_out);
    }
    if first.is_none_or(|item| !item.has_aggregates()) {
        let reason = "these events have no text `event_type` and number `latency_ms`";
        leave_out(&mut chosen, |kind| kind == Kind::Aggregate, reason, &mut left_out);
    }
    let tasks = interleave(&chosen, args.reps);
    let mut results = Results {
        machine: Machine::look(&data),
        source,
        events,
        json_bytes,
        messagepack_bytes,
        repetitions: args.reps,
        seconds_max: args.seconds,
        quiet_seconds: args.quiet,
        contenders: Vec::new(),
        failures: Vec::new(),
        left_out,
        run_seconds: 0.0,
        samples: Vec::new(),
    };
    for contender in contenders.iter().filter(|one| chosen.iter().any(|(_, c)| c.facts().name == one.facts().name)) {
        results.contenders.push(measured(&**contender));
    }
    eprintln!("{} measurements of {events} events in {}", tasks.len(), data.display());
    for reason in &results.left_out {
        eprintln!("LEFT OUT: {reason}");
    }
    if tasks.iter().any(|task| matches!(task.measure.kind, Kind::Export | Kind::Aggregate)) {
        results.source.write_ndjson(events, &data.join(NDJSON))?;
    }
    for (number, task) in tasks.iter().enumerate() {
        let label = format!("[{}/{}] {} {}", number + 1, tasks.len(), task.measure.name, task.contender.facts().name);
        match measure(args, &data, &results, task) {
            Ok(sample) => {
                let others =
                    if sample.busy > BUSY_MAX { format!(", BUSY {:.0} %", sample.busy * 100.0) } else { String::new() };
                let notes =
                    if sample.notes.is_empty() { String::new() } else { format!(" ({})", sample.notes.join("; ")) };
                eprintln!("{label}: {:.2} {}{others}{notes}", sample.value, task.measure.unit.label());
                results.samples.push(sample);
            }
            Err(error) => {
                eprintln!("{label}: FAILED: {error}");
                results.failures.push(format!("{} of {}: {error}", task.measure.name, task.contender.facts().name));
            }
        }
    }
    results.run_seconds = begun.elapsed().as_secs_f64();
    fs::remove_dir_all(&data)?;
    fs::write(args.out.join("results.json"), serde_json::to_vec_pretty(&results)?)?;
    let written = charts::write(&results, &args.out)?;
    let text = report::markdown(&results, &written);
    fs::write(args.out.join("results.md"), &text)?;
    println!("{text}");
    match results.failures.len() {
        0 => Ok(()),
        count => {
            Err(format!("{count} measurements failed: see the end of {}", args.out.join("results.md").display()).into())
        }
    }
}

/// The events as a file, in the data directory.
const NDJSON: &str = "events.ndjson";

type Chosen<'a> = Vec<(&'static Measure, &'a dyn Contender)>;

/// The measures and contenders that `--only` leaves, and the stores that they need. Who can't be measured here is left
/// out, and said to be.
fn choose<'a>(args: &RunArgs, contenders: &'a [Box<dyn Contender>], left_out: &mut Vec<String>) -> Result<Chosen<'a>> {
    let is_measure = |word: &str| ALL.iter().any(|measure| names(measure.name, word));
    let is_contender = |word: &str| contenders.iter().any(|contender| contender.facts().name == word);
    if let Some(word) = args.only.iter().find(|word| !is_measure(word) && !is_contender(word)) {
        return Err(format!("no measure and no contender is called {word}: `list` names them").into());
    }
    let measures: Vec<_> = args.only.iter().filter(|word| is_measure(word)).collect();
    let who: Vec<_> = args.only.iter().filter(|word| is_contender(word)).collect();
    let wants = |measure: &Measure| measures.is_empty() || measures.iter().any(|word| names(measure.name, word));
    let mut there: Vec<&dyn Contender> = Vec::new();
    for contender in contenders {
        let facts = contender.facts();
        let asked = who.is_empty() || who.iter().any(|word| facts.name == **word);
        if !asked || !ALL.iter().any(|measure| wants(measure) && measure.is_for(&facts)) {
            continue;
        }
        match contender.version() {
            Ok(_) => there.push(&**contender),
            Err(reason) => left_out.push(format!("{}: {reason}", facts.name)),
        }
    }
    let mut chosen: Chosen = Vec::new();
    for measure in &ALL {
        for contender in &there {
            let facts = contender.facts();
            let needed = ALL
                .iter()
                .filter(|other| wants(other) && other.is_for(&facts))
                .any(|other| matches!(measure.kind, Kind::Store { index } if other.needs_store(&facts) == Some(index)));
            if measure.is_for(&facts) && (wants(measure) || needed) {
                chosen.push((measure, *contender));
            }
        }
    }
    match chosen.is_empty() {
        true => Err("there is nothing to measure: `list` names measures and contenders".into()),
        false => Ok(chosen),
    }
}

/// Leaves out the measures of some kinds, and says why.
fn leave_out(chosen: &mut Chosen<'_>, is_one: impl Fn(Kind) -> bool, reason: &str, left_out: &mut Vec<String>) {
    let mut names: Vec<_> = chosen.iter().map(|(measure, _)| measure).filter(|measure| is_one(measure.kind)).collect();
    names.dedup_by_key(|measure| measure.name);
    left_out.extend(names.iter().map(|measure| format!("{}: {reason}", measure.name)));
    chosen.retain(|(measure, _)| !is_one(measure.kind));
}

/// Whether `word` is the name, or that of the group it is in.
fn names(name: &str, word: &str) -> bool {
    name == word || name.strip_prefix(word).is_some_and(|rest| rest.starts_with('-'))
}

/// The stores once and first; then every contender once, and all again. Each time another contender begins.
fn interleave<'a>(chosen: &Chosen<'a>, repetitions: usize) -> Vec<Task<'a>> {
    let is_store = |measure: &Measure| matches!(measure.kind, Kind::Store { .. });
    let stores = chosen.iter().filter(|(measure, _)| is_store(measure));
    let mut tasks: Vec<_> = stores.map(|&(measure, contender)| Task { measure, contender, repetition: 0 }).collect();
    for repetition in 0..repetitions {
        for measure in ALL.iter().filter(|measure| !is_store(measure)) {
            let mut round: Vec<_> = chosen.iter().filter(|(one, _)| one.name == measure.name).collect();
            if !round.is_empty() {
                let first = repetition % round.len();
                round.rotate_left(first);
            }
            tasks.extend(round.into_iter().map(|&(measure, contender)| Task { measure, contender, repetition }));
        }
    }
    tasks
}

fn measured(contender: &dyn Contender) -> Measured {
    let facts = contender.facts();
    Measured {
        name: facts.name,
        version: contender.version().unwrap_or_default(),
        durable: facts.durable,
        unsynced: facts.unsynced,
        tickets: facts.tickets,
        reads: facts.reads,
        window: facts.window,
        finds: facts.finds,
        export: facts.export,
        aggregates: facts.aggregates,
    }
}

/// Waits for a quiet machine, and has the task done by a process of its own.
fn measure(args: &RunArgs, data: &Path, results: &Results, task: &Task<'_>) -> Result<Sample> {
    let facts = task.contender.facts();
    let index = match task.measure.kind {
        Kind::Store { index } => index,
        _ => task.measure.needs_store(&facts).unwrap_or(Index::None),
    };
    let suffix = match index {
        Index::None => "",
        Index::Times => "-times",
        Index::Ids => "-ids",
    };
    let scratch = data.join("scratch");
    let job = Job {
        measure: task.measure.name.to_owned(),
        contender: facts.name.to_owned(),
        scratch: scratch.clone(),
        store: data.join(format!("store-{}{suffix}", facts.name)),
        ndjson: data.join(NDJSON),
        source: absolute(&results.source)?,
        events: results.events,
        seconds_max: args.seconds,
        gets: args.gets.min(results.events),
    };
    if task.measure.needs_store(&facts).is_some() && !job.store.exists() {
        return Err("its store could not be made".into());
    }
    write_back();
    let busy = if args.quiet > 0.0 { wait_until_quiet(BUSY_MAX, Duration::from_secs_f64(args.quiet)) } else { 0.0 };
    let output = Command::new(std::env::current_exe()?)
        .args(["measure", &serde_json::to_string(&job)?])
        .stderr(Stdio::piped())
        .output()?;
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("compare: ").to_owned();
        return Err(Error::from(format!("{said} ({})", output.status)));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().last().ok_or("it printed nothing")?;
    Ok(Sample { repetition: task.repetition, busy, ..serde_json::from_str(line)? })
}

fn absolute(source: &Source) -> Result<Source> {
    Ok(match source {
        Source::File(path) => Source::File(fs::canonicalize(path)?),
        Source::Synthetic(seed) => Source::Synthetic(*seed),
    })
}
