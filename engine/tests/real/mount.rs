//! File systems of a test's own, which go when their owner does. Needs root.

use super::child::compiled;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Runs a program of the system. What it says is the error.
fn system(program: &str, arguments: &[&str]) -> Result<String, String> {
    // Where root's programs are is not always in the path of who tests.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(arguments).env("PATH", path).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// [`system`], until it succeeds: a child process that is being started may hold files for a moment.
fn until_idle(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut outcome = Ok(());
    for _ in 0..200 {
        outcome = system(program, arguments).map(drop);
        if outcome.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    outcome
}

/// Unmounts what is mounted at `path`.
fn unmount(path: &Path) -> Result<(), String> {
    until_idle("umount", &[path.to_str().unwrap()])
}

/// Runs the test `name` once more, in a process with a list of mounts of its own: whatever ends it, its file systems go
/// with it. `false` in that process, which is to do the work, and where there are no such lists.
pub(crate) fn is_done_apart(name: &str) -> bool {
    const APART: &str = "ANNALS_REAL_APART";
    if std::env::var_os(APART).is_some() || system("unshare", &["--mount", "true"]).is_err() {
        return false;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--quiet", "--test-threads=1"]).env(APART, "1");
    let output = command.stderr(std::process::Stdio::inherit()).output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}: see above", output.status);
    true
}

/// A file system in memory, of limited size.
#[derive(Debug)]
pub(crate) struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    pub(crate) fn new(bytes: u64) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        system("mount", &["-t", "tmpfs", "-o", &options, "annals-test", dir.path().to_str().unwrap()])?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn resize(&self, bytes: u64) {
        self.remount(&format!("size={bytes}"));
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        until_idle("mount", &["-o", &options, self.path().to_str().unwrap()]).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if unmount(self.0.path()).is_err() {
            let _ = system("umount", &["-l", self.0.path().to_str().unwrap()]);
        }
    }
}

/// What a file system is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

/// A file system in an image file, by a loop device: one that can be pulled the plug of.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    at: tempfile::TempDir,
    mounted: bool,
}

impl Disk {
    /// Makes a file system of `megabytes` in the directory `home` and mounts it.
    pub(crate) fn new(kind: Kind, home: &Path, megabytes: u64) -> Result<Self, String> {
        let image = home.join(format!("{kind:?}.image"));
        fs::File::create(&image).and_then(|file| file.set_len(megabytes << 20)).map_err(|error| error.to_string())?;
        let name = image.to_str().unwrap();
        match kind {
            Kind::Ext4 => {
                system("mkfs.ext4", &["-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", name])?
            }
            Kind::Xfs => system("mkfs.xfs", &["-q", "-f", name])?,
        };
        let mut disk = Self { image, at: tempfile::tempdir().unwrap(), mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    pub(crate) fn path(&self) -> &Path {
        self.at.path()
    }

    pub(crate) fn mount(&mut self) -> Result<(), String> {
        // The loop device goes when the file system is unmounted.
        system("mount", &["-o", "loop", self.image.to_str().unwrap(), self.at.path().to_str().unwrap()])?;
        self.mounted = true;
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), String> {
        unmount(self.at.path())?;
        self.mounted = false;
        Ok(())
    }

    /// Cuts the power: what the file system has not given to its disk is gone, and it fails from now on. With
    /// `log_kept` it writes its log first.
    pub(crate) fn cut(&self, log_kept: bool) -> Result<(), String> {
        static CUT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let cut = CUT.get_or_init(|| compiled("cut", &[])).as_ref().map_err(Clone::clone)?;
        let flags = if log_kept { "1" } else { "2" };
        system(cut.to_str().unwrap(), &[self.path().to_str().unwrap(), flags]).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            let _ = system("umount", &["-l", self.at.path().to_str().unwrap()]);
        }
        let _ = fs::remove_file(&self.image);
    }
}

/// Makes a directory read-only for everybody, root included, until it is dropped: by the attribute `i` of its file system.
#[derive(Debug)]
pub(crate) struct Immutable(PathBuf);

impl Immutable {
    pub(crate) fn new(path: &Path) -> Result<Self, String> {
        system("chattr", &["+i", path.to_str().unwrap()])?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = system("chattr", &["-i", self.0.to_str().unwrap()]);
    }
}
