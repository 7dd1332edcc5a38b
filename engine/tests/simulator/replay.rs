//! Cases: what to run, as one line that runs it again; and how a failing one is made smaller.

use crate::simulator::explore::{Explorer, Fault, Only, Plan, Tally};
use crate::simulator::faults::{self, Planned};
use crate::simulator::walk::{Op, draw};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// One walk, and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    /// How many operations are drawn.
    pub(crate) steps: usize,
    /// Which of them are done; all, if there are none here.
    pub(crate) keep: Vec<usize>,
    pub(crate) only: Only,
    pub(crate) plan: Plan,
    /// A call that fails, instead of crashes.
    pub(crate) planned: Option<Planned>,
}

/// How long a failing case is made smaller.
const SHRINKING: Duration = Duration::from_secs(20);

impl Case {
    pub(crate) fn new(seed: u64, steps: usize, plan: Plan) -> Self {
        Self { seed, steps, keep: Vec::new(), only: Only::default(), plan, planned: None }
    }

    pub(crate) fn ops(&self) -> Vec<(usize, Op)> {
        let all = draw(self.seed, self.steps).into_iter().enumerate();
        all.filter(|(number, _)| self.keep.is_empty() || self.keep.contains(number)).collect()
    }

    /// Runs the case. A panic of the engine is a failure like any other.
    pub(crate) fn run(&self, tally: &mut Tally) -> Result<(), Fault> {
        let run = || match self.planned {
            Some(planned) => faults::run(self.seed, &self.ops(), planned, tally),
            None => Explorer::new(&self.plan, self.only, tally).run(self.seed, &self.ops()),
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Fault { step: usize::MAX, image: None, broken: format!("a panic: {}", text.unwrap_or_default()) })
        })
    }

    /// Runs the case, and panics with the smallest one like it that fails.
    pub(crate) fn must_hold(&self, tally: &mut Tally) {
        if let Err(fault) = self.run(tally) {
            // Said before it is made smaller, which may not end where the engine doesn't.
            eprintln!("{self} fails: {}", fault.broken);
            let (case, fault) = self.shrink(fault);
            panic!(
                "ANNALS_REPLAY='{case}' cargo test --release -p annals --test simulation replay -- --nocapture  # {}",
                fault.broken
            );
        }
    }

    /// Leaves operations out for as long as it still fails; then looks at the one crash only.
    fn shrink(&self, mut fault: Fault) -> (Self, Fault) {
        let begun = Instant::now();
        let mut case = self.clone();
        case.keep = self.ops().into_iter().map(|(number, _)| number).collect();
        // What comes after the failure has no part in it.
        if fault.step != usize::MAX {
            let last = fault.step;
            case.keep.retain(|number| *number < last);
        }
        let mut size = case.keep.len().div_ceil(2).max(1);
        while begun.elapsed() < SHRINKING {
            let mut at = 0;
            while at < case.keep.len() && begun.elapsed() < SHRINKING {
                let mut smaller = case.clone();
                smaller.keep.drain(at..(at + size).min(case.keep.len()));
                match (!smaller.keep.is_empty()).then(|| smaller.run(&mut Tally::default())) {
                    Some(Err(found)) => (case, fault) = (smaller, found),
                    _ => at += size,
                }
            }
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
        let mut one = case.clone();
        one.only = Only { step: Some(fault.step), image: fault.image };
        match one.run(&mut Tally::default()) {
            Err(found) => (one, found),
            Ok(()) => (case, fault),
        }
    }

    /// The case that `line` stands for, as [`Case`] prints it.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let plan = Plan { moments: 0, images: 0, again: 0, again_images: 0 };
        let mut case = Self::new(0, 0, plan);
        let mut failing = Planned::default();
        let mut is_failing = false;
        for part in line.split(',') {
            let (key, value) = part.trim().split_once('=')?;
            match key {
                "seed" => case.seed = value.parse().ok()?,
                "steps" => case.steps = value.parse().ok()?,
                "keep" => case.keep = value.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?,
                "crash" => case.only.step = Some(value.parse().ok()?),
                "image" => {
                    let (call, image) = value.split_once('.')?;
                    case.only.image = Some((call.parse().ok()?, image.parse().ok()?));
                }
                "plan" => {
                    let mut numbers = value.split('.').map(|n| n.parse().ok());
                    let mut next = || numbers.next().flatten();
                    case.plan = Plan { moments: next()?, images: next()?, again: next()?, again_images: next()? };
                }
                key => {
                    failing.set(key, value)?;
                    is_failing = true;
                }
            }
        }
        case.planned = is_failing.then_some(failing);
        Some(case)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={},steps={}", self.seed, self.steps)?;
        if !self.keep.is_empty() {
            let keep: Vec<_> = self.keep.iter().map(ToString::to_string).collect();
            write!(f, ",keep={}", keep.join("."))?;
        }
        if let Some(planned) = &self.planned {
            return write!(f, ",{planned}");
        }
        let Plan { moments, images, again, again_images } = self.plan;
        write!(f, ",plan={moments}.{images}.{again}.{again_images}")?;
        if let Some(step) = self.only.step {
            write!(f, ",crash={step}")?;
        }
        if let Some((call, image)) = self.only.image {
            write!(f, ",image={call}.{image}")?;
        }
        Ok(())
    }
}
