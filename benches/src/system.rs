//! What the machine is and does: its name, how busy it is, memory of processes, bytes on disk, the page cache.

use crate::Result;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where this was built, for the commit.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The machine, for whoever reads the results.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Hardware threads.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// File system of the data directory.
    pub file_system: String,
    /// Load averages of 1, 5 and 15 minutes when the run began.
    pub load: String,
    /// Compiler on the machine.
    pub rustc: String,
    /// Commit of the repository, with `+` if files were changed since.
    pub commit: String,
}

impl Machine {
    /// The machine as it is now, with the file system of `data`.
    pub fn look(data: &Path) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let memory = field_kib(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) << 10;
        let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ");
        let changed = !output("git", &["-C", HERE, "status", "--porcelain", "--untracked-files=no"]).is_empty();
        Self {
            cpu: cpu.trim_start_matches(['\t', ' ', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, |cores| cores.get()),
            memory_bytes: memory,
            kernel: format!("{} {}", read("/proc/sys/kernel/ostype").trim(), read("/proc/sys/kernel/osrelease").trim()),
            file_system: file_system(data),
            load,
            rustc: output("rustc", &["--version"]),
            commit: output("git", &["-C", HERE, "rev-parse", "--short", "HEAD"]) + if changed { "+" } else { "" },
        }
    }
}

/// Load averages of 1, 5 and 15 minutes.
pub fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Waits until less than `busy_max` of the processors was in use for a second, at most `limit`. Returns the share that
/// was in use last; 0 where the system doesn't tell.
pub fn wait_until_quiet(busy_max: f64, limit: Duration) -> f64 {
    let begun = Instant::now();
    loop {
        let Some(before) = processor_ticks() else { return 0.0 };
        std::thread::sleep(Duration::from_secs(1).min(limit.max(Duration::from_millis(100))));
        let Some(after) = processor_ticks() else { return 0.0 };
        let total = (after.0 + after.1).saturating_sub(before.0 + before.1).max(1);
        let busy = after.0.saturating_sub(before.0) as f64 / total as f64;
        if busy < busy_max || begun.elapsed() >= limit {
            return busy;
        }
    }
}

/// Ticks in which processors were busy, and idle. Waiting for the disk is busy: somebody else uses it.
fn processor_ticks() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    let idle = *ticks.get(3)?;
    Some((ticks.iter().take(8).sum::<u64>() - idle, idle))
}

/// Bytes of anonymous memory that a process has; 0 where the system doesn't tell.
pub fn anonymous_bytes(pid: Option<u32>) -> u64 {
    status(pid, "RssAnon:")
}

/// The most memory of any kind that this process ever had, in bytes; 0 where the system doesn't tell.
pub fn resident_bytes_max() -> u64 {
    status(None, "VmHWM:")
}

fn status(pid: Option<u32>, field: &str) -> u64 {
    let pid = pid.map_or("self".to_owned(), |pid| pid.to_string());
    field_kib(&read(&format!("/proc/{pid}/status")), field).unwrap_or(0) << 10
}

fn field_kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Looks every few milliseconds how much anonymous memory a process has: the kernel keeps the peak of all memory, files
/// in the page cache included, and not of this.
#[derive(Debug)]
pub struct PeakMemory {
    base: u64,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PeakMemory {
    /// Begins with what there is now, which is not counted.
    pub fn of_this_process() -> Self {
        Self::begin(None, anonymous_bytes(None))
    }

    /// Of another process, all of it.
    pub fn of(pid: u32) -> Self {
        Self::begin(Some(pid), 0)
    }

    fn begin(pid: Option<u32>, base: u64) -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (its_peak, its_stop) = (Arc::clone(&peak), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !its_stop.load(Ordering::Relaxed) {
                its_peak.fetch_max(anonymous_bytes(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { base, peak, stop, thread: Some(thread) }
    }

    /// The bytes beyond those at the beginning.
    pub fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics only if memory can't be looked at, which is then 0.
            let _ = thread.join();
        }
        self.peak.load(Ordering::Relaxed).saturating_sub(self.base)
    }
}

/// Bytes that the files below `path` take on the disk: blocks, so that holes don't count and space set aside does.
pub fn disk_bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return allocated(&metadata);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| disk_bytes(&entry.path())).sum()
}

#[cfg(unix)]
fn allocated(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

/// Writes everything back, and drops the page cache: all of it where that is allowed, and otherwise that of the files
/// below `path`. Returns how it was done.
///
/// # Errors
/// It can't be done here.
#[cfg(target_os = "linux")]
pub fn drop_page_cache(path: &Path) -> Result<&'static str> {
    rustix::fs::sync();
    if fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
        return Ok("drop_caches");
    }
    forget(path)?;
    Ok("fadvise")
}

#[cfg(target_os = "linux")]
fn forget(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| forget(&entry?.path()));
    }
    let file = fs::File::open(path)?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Not where the system is another.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn drop_page_cache(_path: &Path) -> Result<&'static str> {
    Err("the page cache can be dropped on Linux only".into())
}

/// Writes back what the system holds, so that one measure does not pay for the one before.
pub fn write_back() {
    #[cfg(target_os = "linux")]
    rustix::fs::sync();
}

/// The file system that `path` is on, from the table of mounts: the longest place that `path` begins with.
fn file_system(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = read("/proc/self/mounts");
    let found = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, place, kind) = (words.next()?, words.next()?, words.next()?);
        path.starts_with(place).then(|| (place.len(), format!("{kind} on {device}")))
    });
    found.max().map_or("unknown".to_owned(), |(_, name)| name)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What a program prints, or nothing.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).stderr(std::process::Stdio::null()).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
