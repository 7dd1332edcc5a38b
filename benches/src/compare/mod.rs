//! The comparison: measures × contenders × repetitions, a process for each, and what the report makes of it.
//!
//! `compare run` starts itself as `compare measure JOB` for each measurement and reads the line of JSON that it prints.

mod charts;
mod child;
mod drive;
mod job;
mod killed;
mod measures;
mod parent;
mod report;
mod summary;

use crate::contenders::Contender;
use crate::items::Source;
use crate::{Error, Result};
use clap::{Parser, Subcommand};
use job::Job;
pub(crate) use report::count as figure;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares Annals with other ways to keep events.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and write results.json, results.md and charts
    Run(RunArgs),
    /// List measures and contenders
    List,
    /// Do one measurement and print a line of JSON: `run` starts this
    #[command(hide = true)]
    Measure {
        /// The job, as JSON
        job: String,
    },
    /// Append until killed: `measure` starts this
    #[command(hide = true)]
    Write {
        /// The job, as JSON
        job: String,
    },
}

/// What `run` is asked for.
#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Folder for the table and the charts
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many events; the slowest appends get a part of them
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Seed of the synthetic events
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The lines of this file instead of synthetic events
    #[arg(long, value_name = "FILE.ndjson")]
    input: Option<PathBuf>,
    /// Repetitions, interleaved
    #[arg(long, default_value_t = 3)]
    reps: usize,
    /// Where the stores are made: on the disk that is to be measured
    #[arg(long, value_name = "DATA_DIR", default_value = "compare-data")]
    dir: PathBuf,
    /// Only this measure or contender, or this group of measures ("durable"); may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Longest time of an append measure, in seconds
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// How many events are read by seq
    #[arg(long, default_value_t = 20_000)]
    gets: u64,
    /// Wait so many seconds at most for a quiet machine before each measurement
    #[arg(long, default_value_t = 30.0)]
    quiet: f64,
}

/// The program, with these contenders.
pub fn main(contenders: &[Box<dyn Contender>]) -> ExitCode {
    match run(&Args::parse(), contenders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, contenders: &[Box<dyn Contender>]) -> Result<()> {
    match &args.command {
        Command::Run(args) => parent::run(args, contenders),
        Command::List => list(contenders),
        Command::Measure { job } => {
            let job: Job = serde_json::from_str(job)?;
            let sample = child::run(&job, find(contenders, &job.contender)?)?;
            println!("{}", serde_json::to_string(&sample)?);
            Ok(())
        }
        Command::Write { job } => {
            let job: Job = serde_json::from_str(job)?;
            killed::write(&job, find(contenders, &job.contender)?)
        }
    }
}

impl RunArgs {
    fn source(&self) -> Source {
        match &self.input {
            Some(path) => Source::File(path.clone()),
            None => Source::Synthetic(self.seed),
        }
    }
}

fn find<'a>(contenders: &'a [Box<dyn Contender>], name: &str) -> Result<&'a dyn Contender> {
    let found = contenders.iter().find(|contender| contender.facts().name == name);
    found.map(|contender| &**contender).ok_or_else(|| Error::from(format!("no contender is called {name}")))
}

fn list(contenders: &[Box<dyn Contender>]) -> Result<()> {
    println!("measures:");
    for measure in &measures::ALL {
        println!("  {:<12} {}", measure.name, measure.title);
    }
    println!("contenders:");
    for contender in contenders {
        let facts = contender.facts();
        let version = contender.version().unwrap_or_else(|reason| format!("can't be measured: {reason}"));
        println!("  {:<16} {version}", facts.name);
    }
    Ok(())
}
