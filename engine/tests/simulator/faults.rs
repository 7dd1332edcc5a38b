//! Runs a walk in which one call fails, once or from then on: what was acknowledged stays, who is refused has left no
//! trace, and a log that was poisoned stays so until it is opened again.

use crate::simulator::explore::{Fault as Found, Tally};
use crate::simulator::image::{go_on, recover};
use crate::simulator::model::{Broken, Failure};
use crate::simulator::random::{Random, derive};
use crate::simulator::walk::{Kind, Op, Walk};
use annals::Error;
use annals::storage::sim::{Fault, Loss};
use std::fmt;

/// The call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) call: u64,
    /// Whether it is one of those that only look.
    pub(crate) looks: bool,
    pub(crate) fault: Fault,
    pub(crate) for_ever: bool,
}

/// What may go wrong with a call that changes something, and with one that looks: a read of no bytes is the end of a
/// file, and no disk says that where there are more.
pub(crate) const FAULTS: [Fault; 5] = [Fault::Io, Fault::Full, Fault::Interrupted, Fault::Short, Fault::Zero];
pub(crate) const FAULTS_OF_LOOKS: [Fault; 3] = [Fault::Io, Fault::Interrupted, Fault::Short];

impl Default for Planned {
    fn default() -> Self {
        Self { call: 0, looks: false, fault: Fault::Io, for_ever: false }
    }
}

impl Planned {
    /// Takes in one part of a line that [`Planned`] prints.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "call" => self.call = value.parse().ok()?,
            "look" => (self.call, self.looks) = (value.parse().ok()?, true),
            "fault" => self.fault = *FAULTS.iter().find(|fault| format!("{fault:?}") == value)?,
            "for_ever" => self.for_ever = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, looks, fault, for_ever } = self;
        write!(f, "{}={call},fault={fault:?},for_ever={for_ever}", if *looks { "look" } else { "call" })
    }
}

/// How many calls a walk makes without a fault: those that change something, and those that look.
pub(crate) fn calls(seed: u64, ops: &[(usize, Op)]) -> (u64, u64) {
    let mut walk = Walk::new(seed);
    walk.open(&mut opening(seed)).unwrap_or_else(|error| panic!("no fault was asked for: {error:?}"));
    for (_, op) in ops {
        walk.step(tame(*op, None)).unwrap_or_else(|error| panic!("no fault was asked for: {op:?}: {error:?}"));
    }
    (walk.disk.calls(), walk.disk.reads())
}

fn opening(seed: u64) -> Random {
    Random::new(derive(seed, u64::MAX))
}

/// After a crash of the machine, another disk would count its calls: the process ends instead. Between the parts of a
/// write that is cut short it goes on: the last of a frame's bytes look like its content.
fn tame(op: Op, fault: Option<Fault>) -> Op {
    let kind = match op.kind {
        Kind::Crash | Kind::Kill if fault == Some(Fault::Short) => Kind::Close,
        Kind::Crash => Kind::Kill,
        kind => kind,
    };
    Op { kind, ..op }
}

pub(crate) fn run(seed: u64, ops: &[(usize, Op)], planned: Planned, tally: &mut Tally) -> Result<(), Found> {
    let mut walk = Walk::new(seed);
    let Planned { call, looks, fault, for_ever } = planned;
    match looks {
        true => walk.disk.fail_read_at(call, fault, for_ever),
        false => walk.disk.fail_at(call, fault, for_ever),
    }
    let mut random = opening(seed);
    let opened = walk.open(&mut random.clone());
    let at = |step: usize| move |broken: Broken| Found { step, image: None, broken };
    overcome(&mut walk, opened, planned, &mut random).map_err(at(0))?;
    for (number, op) in ops {
        let done = walk.step(tame(*op, Some(fault)));
        let mut random = Random::new(derive(op.seed, 1));
        overcome(&mut walk, done, planned, &mut random)
            .map_err(|broken| at(number + 1)(format!("{:?}: {broken}", op.kind)))?;
    }
    tally.faults += u64::from(walk.disk.faults() > 0);
    // The process ends here. What of all this survives a crash?
    if random.percent(50) {
        walk.kill();
    }
    // As in `tame`: a frame that lacks its last bytes looks like one that was damaged.
    let other = if fault == Fault::Short { Loss::Nothing } else { Loss::Torn };
    for loss in [Loss::Everything, other] {
        let facts = walk.facts(walk.model.durable);
        let left = walk.disk.crash(loss, random.next());
        recover(&left, &facts)
            .and_then(|recovered| go_on(&left, recovered, &facts, seed))
            .map_err(|broken| at(usize::MAX)(format!("{loss:?} in the end: {broken}")))?;
    }
    Ok(())
}

/// Goes on after an operation that may have failed.
fn overcome(walk: &mut Walk, done: Result<(), Failure>, planned: Planned, random: &mut Random) -> Result<(), Broken> {
    let error = match done {
        Ok(()) => return Ok(()),
        Err(Failure::Broken(broken)) => return Err(broken),
        Err(Failure::Engine(error)) => error,
    };
    if walk.disk.faults() == 0 {
        return Err(format!("an error without a fault: {error}"));
    }
    let overcome = match planned.fault {
        Fault::Short => true,
        Fault::Interrupted => !planned.for_ever && walk.disk.failed_transfer(),
        _ => false,
    };
    if overcome {
        return Err(format!("{:?} was to be overcome: {error}", planned.fault));
    }
    if matches!(error, Error::Damaged(_)) {
        return Err(format!("a failing call was taken for damage: {error}"));
    }
    let poisoned = matches!(error, Error::Poisoned(_));
    if poisoned {
        walk.stays_poisoned()?;
    }
    // A full disk, and what was only to be read, leave the log as it is.
    if !poisoned && walk.log.is_some() {
        if planned.for_ever && random.percent(50) {
            walk.disk.heal();
        }
        if !planned.for_ever || random.percent(50) {
            return Ok(());
        }
    }
    walk.disk.heal();
    walk.kill();
    if random.percent(40) {
        walk.restart_machine(random)?;
    }
    match walk.open(random) {
        Ok(()) => Ok(()),
        Err(Failure::Broken(broken)) => Err(format!("opening again: {broken}")),
        Err(Failure::Engine(error)) => Err(format!("opening again, on a disk that works: {error}")),
    }
}
