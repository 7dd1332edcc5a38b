//! What the tests of the program share: running it, and an independent idea of when two JSON texts say the same.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod json;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A command that runs the program.
pub(crate) fn annals<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
    command.args(args).stdin(Stdio::null());
    command
}

/// A directory of a test's own, with the path of a log in it.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) log: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("log").display().to_string();
        Self { dir, log }
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `annals append LOG` of `input` on stdin, with more arguments.
    pub(crate) fn append(&self, input: &[u8], more: &[&str]) -> Run {
        run_with_input(annals(["append", &self.log, "--output", "ndjson"]).args(more), input)
    }

    /// `annals COMMAND LOG …`
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Run {
        run(annals([command, &self.log]).args(more))
    }

    /// The lines of `annals cat`.
    pub(crate) fn cat(&self, more: &[&str]) -> Vec<String> {
        let run = self.run("cat", more);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.lines()
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.stdout.clone()).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    /// Stdout as one JSON document.
    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }
}

pub(crate) fn run(command: &mut Command) -> Run {
    command.output().expect("the program runs").into()
}

/// Runs the command with `input` on its stdin. It may stop reading early.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Run {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("written");
    output.into()
}

/// The samples shipped with the project, decompressed.
pub(crate) fn samples() -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    ["cloudtrail", "k8s-audit", "windows"]
        .map(|name| {
            let path = dir.join(format!("{name}.ndjson.zst"));
            let plain = zstd::decode_all(std::fs::File::open(&path).expect("the sample")).expect("Zstandard");
            (path, plain)
        })
        .into()
}
