//! How a command ends when it doesn't end well: one paragraph for the person, one exit code for the script.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Exit codes, as `--help` and docs/cli.md list them. 0 is success.
pub(crate) mod code {
    pub(crate) const FAILURE: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const INTEGRITY: u8 = 3;
    pub(crate) const BAD_INPUT: u8 = 4;
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// The list of exit codes that every help text ends with.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0    done
  1    failure: the command could not do what was asked
  2    usage: unknown command, option or value
  3    integrity failure: bytes of the log are damaged
  4    bad input: a line, or a compressed file, that can't be read
  130  interrupted by Ctrl-C or a termination signal; the log was closed properly";

/// The outcome of a command that didn't simply succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something else than the cases below.
    Failed(String),
    /// The command line can't mean anything.
    Usage(String),
    /// Bytes of the log are not what they have to be.
    Integrity(String),
    /// The input given to the command can't be read.
    BadInput(String),
    /// Stopped by a signal, after putting everything in order.
    Interrupted,
    /// Whoever read our output has gone: nothing is left to do, and nothing is wrong.
    ClosedPipe,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure of `action` ("read", "create", …) on the file at `path`.
    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::Failed(format!("cannot {action} {}: {error}", path.display()))
    }

    /// The code the process exits with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => code::FAILURE,
            Self::Usage(_) => code::USAGE,
            Self::Integrity(_) => code::INTEGRITY,
            Self::BadInput(_) => code::BAD_INPUT,
            Self::Interrupted => code::INTERRUPTED,
            Self::ClosedPipe => return ExitCode::SUCCESS,
        })
    }

    /// What to tell the person, if anything.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Integrity(message) | Self::BadInput(message) => {
                Some(message)
            }
            Self::Interrupted | Self::ClosedPipe => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().unwrap_or("stopped"))
    }
}

impl From<annals::Error> for Failure {
    fn from(error: annals::Error) -> Self {
        match &error {
            _ if error.is_damage() => Self::Integrity(error.to_string()),
            annals::Error::InvalidOption { .. } | annals::Error::Condition(_) | annals::Error::StreamName { .. } => {
                Self::Usage(error.to_string())
            }
            annals::Error::IsAStore { path } => Self::Failed(format!(
                "{error}. `annals streams {path}` lists them; `append` takes --stream or --stream-by."
            )),
            annals::Error::NotALog { .. } => {
                Self::Failed(format!("{error}. Check the path; `annals append LOG FILE` creates a log."))
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}
