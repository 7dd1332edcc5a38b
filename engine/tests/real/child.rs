//! The workload in a process of its own: this test program, started again with the shim before it.

use super::told::Told;
use super::workload::{Plan, run};
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

const WORKER: &str = "ANNALS_REAL_WORKER";
/// A worker that takes longer hangs.
const WORKER_TIME_MAX: Duration = Duration::from_secs(60);

/// Classes of calls, as the shim has them.
pub(crate) const WRITE: u64 = 1;
pub(crate) const SYNC: u64 = 2;
pub(crate) const RENAME: u64 = 4;
pub(crate) const UNLINK: u64 = 8;
pub(crate) const SPACE: u64 = 16;
pub(crate) const CREATE: u64 = 32;
pub(crate) const OPEN: u64 = 64;
pub(crate) const READ: u64 = 128;
/// The calls that change something.
pub(crate) const CHANGES: u64 = WRITE | SYNC | RENAME | UNLINK | SPACE | CREATE;

/// What the shim is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Act {
    /// `count`, `kill`, `killmid`, `errno`, `errnos`, `short`.
    pub(crate) what: String,
    pub(crate) at: u64,
    pub(crate) errno: u64,
    pub(crate) classes: u64,
}

impl Act {
    pub(crate) fn new(what: &str, at: u64, classes: u64) -> Self {
        Self { what: what.to_owned(), at, errno: 0, classes }
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{},{},{}", self.what, self.at, self.errno, self.classes)
    }
}

impl std::str::FromStr for Act {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(',').collect();
        let number = |index: usize| parts.get(index).and_then(|part| part.parse().ok()).ok_or(format!("{text}?"));
        Ok(Self { what: parts[0].to_owned(), at: number(1)?, errno: number(2)?, classes: number(3)? })
    }
}

/// What a worker did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) lines: Vec<String>,
    pub(crate) status: ExitStatus,
    pub(crate) errors: String,
    /// How many calls the shim counted.
    pub(crate) calls: u64,
    /// Whether the shim did what it was to do.
    pub(crate) acted: bool,
}

impl Done {
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// Takes in all that the worker told.
    pub(crate) fn hear(&self, told: &mut Told) -> Result<(), String> {
        if !self.status.success() && !self.was_killed() {
            return Err(format!("the worker ended with {}: {}", self.status, self.errors));
        }
        self.lines.iter().try_for_each(|line| told.hear(line))
    }
}

/// What the test `worker` of every test program does: the work, if this process was started for it.
pub(crate) fn work_if_asked() {
    let Ok(words) = std::env::var(WORKER) else { return };
    let (plan, dir) = words.split_once(' ').expect("a plan and a directory");
    std::thread::spawn(|| {
        std::thread::sleep(WORKER_TIME_MAX);
        eprintln!("the worker hangs");
        std::process::exit(96);
    });
    let tell = |line: &str| {
        // One call, so that no line is told by half.
        let _ = io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    };
    let _ = run(Path::new(dir), &plan.parse().expect("a plan"), &tell);
}

/// Starts a worker. `shared` is a file for the shim.
pub(crate) fn start(dir: &Path, plan: &Plan, act: Option<(&Act, &Path, &Path)>, clock: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "worker", "--nocapture", "--quiet", "--test-threads=1"]);
    command.env(WORKER, format!("{plan} {}", dir.display()));
    if let Some((act, shim, shared)) = act {
        fs::write(shared, [0; 64]).unwrap();
        command.env("LD_PRELOAD", shim).env("ANNALS_SHIM_DIR", dir).env("ANNALS_SHIM_FILE", shared);
        command.env("ANNALS_SHIM_ACT", &act.what).env("ANNALS_SHIM_AT", act.at.to_string());
        command.env("ANNALS_SHIM_ERRNO", act.errno.to_string()).env("ANNALS_SHIM_CLASSES", act.classes.to_string());
    }
    if let Some(clock) = clock {
        command.env("ANNALS_CLOCK_SEED", clock.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until a worker has ended.
pub(crate) fn end(child: Child, shared: Option<&Path>) -> Done {
    let output = child.wait_with_output().unwrap();
    let counted = shared.map(|path| fs::read(path).unwrap()).unwrap_or(vec![0; 16]);
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| counted[at + i]));
    let text = String::from_utf8_lossy(&output.stdout);
    // A line that was cut off tells nothing.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    Done {
        lines: whole.lines().map(str::to_owned).collect(),
        status: output.status,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        calls: number(0),
        acted: number(8) > 0,
    }
}

/// Runs the workload on the log in `dir` under the shim. Its own file is put into `scratch`.
pub(crate) fn run_with(dir: &Path, scratch: &Path, plan: &Plan, act: &Act, shim: &Path) -> Done {
    let shared = scratch.join("shim");
    end(start(dir, plan, Some((act, shim, &shared)), None), Some(&shared))
}

/// The shim, compiled once; or why there is none.
pub(crate) fn shim() -> Result<&'static Path, &'static str> {
    static SHIM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = SHIM.get_or_init(|| {
        let shim = compiled("shim", &["-shared", "-fPIC"])?;
        // A look at the directory of this program: does the kernel let it work?
        let dir = super::in_memory();
        let plan = Plan { seed: 0, run: 0, durability: 0, threads: 0, appends: 1, openings: 1, machine: false };
        let log = dir.path().join("log");
        let done = run_with(&log, dir.path(), &plan, &Act::new("count", 0, CHANGES), &shim);
        match done.status.success() && done.calls > 5 {
            true => Ok(shim),
            false => {
                Err(format!("the shim does not work here ({}, {} calls): {}", done.status, done.calls, done.errors))
            }
        }
    });
    made.as_deref().map_err(String::as_str)
}

/// The program or library made of `<name>.c`.
pub(crate) fn compiled(name: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(format!("{name}.c"));
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let unfinished = made.with_extension(std::process::id().to_string());
    let cc = std::env::var("CC").unwrap_or("cc".to_owned());
    let output =
        Command::new(&cc).args(["-O1", "-Wall"]).args(arguments).arg("-o").arg(&unfinished).arg(&source).output();
    let output = output.map_err(|error| format!("no C compiler ({cc}): {error}"))?;
    match output.status.success() {
        // Other test programs may be at the same.
        true => fs::rename(&unfinished, &made).map(|()| made).map_err(|error| error.to_string()),
        false => Err(format!("{cc} {}: {}", source.display(), String::from_utf8_lossy(&output.stderr))),
    }
}
