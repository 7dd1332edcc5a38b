//! What analysts use from Python: Polars, DuckDB, pyarrow, from NDJSON to Parquet. Where a module isn't installed it is
//! left out, and the report says so.

use super::{Contender, Exported, Facts};
use crate::Result;
use crate::items::Encoding;
use crate::system::PeakMemory;
use std::path::Path;
use std::process::{Command, Stdio};

/// A module of Python.
#[derive(Debug, Clone, Copy)]
pub(super) struct Python(Facts);

const fn module(name: &'static str, export: &'static str) -> Python {
    Python(Facts { encoding: Encoding::Json, export: Some(export), ..Facts::new(name) })
}

/// All of them.
pub(super) const ALL: [Python; 3] = [
    module("polars", "from NDJSON: `scan_ndjson` (schema from all lines), `sink_parquet`; zstd level 3"),
    module("duckdb", "from NDJSON: `COPY (FROM read_json) TO … PARQUET`, schema from all lines; zstd level 3"),
    module("pyarrow", "from NDJSON: `pyarrow.json.read_json`, all in memory, and `write_table`; zstd level 3"),
];

/// The script, which imports the module before its clock starts.
const SCRIPT: &str = include_str!("../../python/export.py");

impl Contender for Python {
    fn facts(&self) -> Facts {
        self.0
    }

    fn version(&self) -> Result<String> {
        let name = self.0.name;
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
        let child = Command::new(interpreter())
            .args(["-c", SCRIPT, self.0.name])
            .args([ndjson, out])
            .stdout(Stdio::piped())
            .spawn()?;
        let memory = PeakMemory::of(child.id());
        let output = child.wait_with_output()?;
        let anonymous_bytes_max = Some(memory.end());
        if !output.status.success() {
            return Err(format!("{} failed: {}", self.0.name, output.status).into());
        }
        let seconds = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        Ok(Exported { seconds, anonymous_bytes_max })
    }
}

/// `PYTHON`, so that an environment can be named, or what is on the path.
fn interpreter() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}
