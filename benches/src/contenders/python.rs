//! What analysts use from Python: Polars, DuckDB, pyarrow, from NDJSON to Parquet, and aggregates of either. Where a module
//! isn't installed it is left out, and the report says so.

use super::{Aggregated, Contender, Exported, Facts};
use crate::Result;
use crate::items::Encoding;
use crate::system::PeakMemory;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A module of Python.
#[derive(Debug, Clone, Copy)]
pub(super) struct Python {
    facts: Facts,
    module: &'static str,
}

const fn module(name: &'static str, export: Option<&'static str>, aggregates: Option<&'static str>) -> Python {
    Python { facts: Facts { encoding: Encoding::Json, export, aggregates, ..Facts::new(name) }, module: name }
}

/// All of them.
pub(super) const ALL: [Python; 4] = [
    module(
        "polars",
        Some("from NDJSON: `scan_ndjson` (schema from all lines), `sink_parquet`; zstd level 3"),
        Some("`scan_parquet` of what it exported beforehand, `group_by`; nearest quantile"),
    ),
    module(
        "duckdb",
        Some("from NDJSON: `COPY (FROM read_json) TO … PARQUET`, schema from all lines; zstd level 3"),
        Some("SQL over the Parquet file that it exported beforehand; `quantile_disc`"),
    ),
    Python { module: "duckdb", ..module("duckdb-ndjson", None, Some("SQL over NDJSON, of which two keys are read")) },
    module(
        "pyarrow",
        Some("from NDJSON: `pyarrow.json.read_json`, all in memory, and `write_table`; zstd level 3"),
        None,
    ),
];

/// The scripts, which import the module before their clocks start.
const EXPORT: &str = include_str!("../../python/export.py");
const AGGREGATE: &str = include_str!("../../python/aggregate.py");

impl Python {
    /// Runs a script. Returns the numbers that it prints, and the most anonymous memory that it had.
    fn run(&self, script: &str, arguments: &[&OsStr]) -> Result<(Vec<f64>, u64)> {
        let child = Command::new(interpreter()).args(["-c", script]).args(arguments).stdout(Stdio::piped()).spawn()?;
        let memory = PeakMemory::of(child.id());
        let output = child.wait_with_output()?;
        let anonymous_bytes_max = memory.end();
        if !output.status.success() {
            return Err(format!("{} failed: {}", self.facts.name, output.status).into());
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let numbers = printed.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        Ok((numbers, anonymous_bytes_max))
    }
}

impl Contender for Python {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn version(&self) -> Result<String> {
        let name = self.module;
        let output = Command::new(interpreter())
            .args(["-c", &format!("import {name}; print({name}.__version__)")])
            .output()
            .map_err(|error| format!("python3 can't be started: {error}"))?;
        if !output.status.success() {
            return Err(format!("Python has no module {name} (pip install {name})").into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn export(&self, _store: &Path, ndjson: &Path, out: &Path) -> Result<Exported> {
        let arguments = [OsStr::new(self.module), ndjson.as_os_str(), out.as_os_str()];
        let (numbers, memory) = self.run(EXPORT, &arguments)?;
        let [seconds] = numbers[..] else { return Err("the script prints one number".into()) };
        Ok(Exported { seconds, anonymous_bytes_max: Some(memory) })
    }

    fn aggregate(&self, store: &Path, ndjson: &Path, scratch: &Path, repetitions: usize) -> Result<Aggregated> {
        let parquet = scratch.join("events.parquet");
        let source = match self.facts.export {
            Some(_) => {
                self.export(store, ndjson, &parquet)?;
                &*parquet
            }
            None => ndjson,
        };
        let repetitions = repetitions.to_string();
        let arguments = [OsStr::new(self.module), source.as_os_str(), OsStr::new(&repetitions)];
        let (numbers, memory) = self.run(AGGREGATE, &arguments)?;
        let [events, seconds @ ..] = &numbers[..] else { return Err("the script prints numbers".into()) };
        Ok(Aggregated { seconds: seconds.to_vec(), events: *events as u64, anonymous_bytes_max: Some(memory) })
    }
}

/// `PYTHON`, so that an environment can be named, or what is on the path.
fn interpreter() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}
