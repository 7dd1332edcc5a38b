//! Ctrl-C and termination signals, for commands that have something to put in order first.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Result, code};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first signal only sets [`interrupted`]; a second one ends the process at once (which a log survives,
/// as it survives any kill).
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(code::INTERRUPTED.into());
        }
    })
    .map_err(|error| Failure::Failed(format!("cannot install the signal handler: {error}")))
}

/// Whether a signal has arrived since [`install`].
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
