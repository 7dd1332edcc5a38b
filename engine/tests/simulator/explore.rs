//! Runs a walk, and crashes it at every call on the way, in many ways; some of these crashes are crashed again while they
//! are being recovered, or while what was recovered is being sealed.

use crate::simulator::asking::ask;
use crate::simulator::image::{Effort, Facts, check_reader, go_on, recover};
use crate::simulator::kept::{Kept, either};
use crate::simulator::model::{Broken, Entry};
use crate::simulator::random::{Random, derive};
use crate::simulator::walk::{Kind, Op, Walk};
use annals::Incarnation;
use annals::storage::sim::{Loss, SimDisk};
use std::collections::HashSet;

/// How much is crashed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// At most so many calls of an operation.
    pub(crate) moments: usize,
    /// So many images of each.
    pub(crate) images: usize,
    /// Of a hundred images, how many are crashed again.
    pub(crate) again: usize,
    /// So many images of each call that they are crashed at.
    pub(crate) again_images: usize,
}

/// Only this is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Only {
    /// The operation.
    pub(crate) step: Option<usize>,
    /// The call in it, and the image of that.
    pub(crate) image: Option<(usize, usize)>,
}

/// How much was tried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) images: u64,
    pub(crate) again: u64,
    /// Runs in which a call failed.
    pub(crate) faults: u64,
}

/// What broke, and where.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) step: usize,
    pub(crate) image: Option<(usize, usize)>,
    pub(crate) broken: Broken,
}

/// Files of which no record depends.
fn counts(name: &str) -> bool {
    name != "head" && name != "lock"
}

pub(crate) struct Explorer<'a> {
    plan: &'a Plan,
    only: Only,
    tally: &'a mut Tally,
    /// What has been checked: what is on the disk, and how much of it must be there.
    seen: HashSet<(u64, usize)>,
}

impl<'a> Explorer<'a> {
    pub(crate) fn new(plan: &'a Plan, only: Only, tally: &'a mut Tally) -> Self {
        Self { plan, only, tally, seen: HashSet::new() }
    }

    /// Runs the operations `ops`, of which each has its number.
    pub(crate) fn run(&mut self, seed: u64, ops: &[(usize, Op)]) -> Result<(), Fault> {
        let mut walk = Walk::new(seed);
        // The log is opened first, as if by an operation of its own.
        let first = Op { kind: Kind::Read, seed: derive(seed, u64::MAX) };
        for (index, (number, op)) in
            std::iter::once((0, first)).chain(ops.iter().map(|(n, op)| (n + 1, *op))).enumerate()
        {
            let step = number;
            let at = |broken| Fault { step, image: None, broken };
            let explored = self.only.step.is_none_or(|only| only == step);
            let (floor, created, durable_only) = (walk.model.durable, walk.model.created, walk.shows_durable_only());
            let kept = walk.model.kept.clone();
            walk.keeps_moments = explored && self.plan.moments > 0;
            if walk.keeps_moments {
                walk.disk.keep_moments();
            }
            let opens = index == 0 || matches!(op.kind, Kind::Kill | Kind::Close | Kind::Crash | Kind::Repair);
            let done = match index {
                0 => walk.open(&mut Random::new(op.seed)),
                _ => walk.step(op),
            };
            let moments = walk.disk.take_moments();
            match done {
                Ok(()) => {}
                Err(failure) => return Err(at(format!("{:?}: {failure}", op.kind))),
            }
            let kept = either(&kept, if opens { &walk.kept_before_opening } else { &walk.model.kept });
            let known = Known {
                // An opening gives up what was not written, and may stop before it does.
                entries: [&walk.before_opening, &walk.model.entries][usize::from(!opens)],
                floor,
                created,
                durable_only: durable_only && index > 0,
                // What recovery writes anew counts as durable as soon as its file has a name.
                knows_durable: !opens,
                incarnations: &walk.model.incarnations,
                kept: &kept,
            };
            for number in self.choose(moments.len(), op.seed) {
                let seed = derive(op.seed, number as u64);
                self.moment(&moments[number], &known, seed, number).map_err(|(image, broken)| Fault {
                    step,
                    image: Some((number, image)),
                    broken,
                })?;
            }
        }
        Ok(())
    }

    /// Which of `count` calls are looked at.
    fn choose(&self, count: usize, seed: u64) -> Vec<usize> {
        let mut random = Random::new(seed);
        let all = 0..count;
        match self.only.image {
            Some((number, _)) => all.filter(|&n| n == number).collect(),
            None => all.filter(|_| random.below(count) < self.plan.moments).collect(),
        }
    }

    /// Crashes at one call in many ways.
    fn moment(&mut self, moment: &SimDisk, known: &Known<'_>, seed: u64, number: usize) -> Result<(), (usize, Broken)> {
        let mut facts = known.facts();
        let live = check_reader(moment, &facts).map_err(|broken| (0, format!("at call {number}: {broken}")))?;
        if known.durable_only {
            // What somebody has seen of a log that shows what is durable must never be denied.
            facts.floor = facts.floor.max(live.unwrap_or(0));
        }
        let mut random = Random::new(seed);
        for image in 0..=self.plan.images {
            let seed = random.next();
            let loss = if image == 0 { Loss::Everything } else { random.pick(&Loss::ALL[1..]) };
            let left = moment.crash(loss, seed);
            if image > 0 && self.only.image.is_some_and(|(_, only)| only != 0 && only != image) {
                continue;
            }
            // Without loss, what is durable has to be known all the same.
            if !self.seen.insert((left.digest(counts), facts.floor)) && image > 0 {
                continue;
            }
            let found = self.image(&left, &facts, seed).map_err(|broken| (image, format!("{loss:?}: {broken}")))?;
            if image == 0 && known.knows_durable {
                facts.durable = Some(found);
            }
        }
        Ok(())
    }

    fn image(&mut self, left: &SimDisk, facts: &Facts<'_>, seed: u64) -> Result<usize, Broken> {
        self.tally.images += 1;
        let mut random = Random::new(seed);
        let effort = if random.percent(25) { Effort::GoOn } else { Effort::Recover };
        let again = random.percent(self.plan.again);
        let disk = left.copy();
        if again {
            disk.keep_moments();
        }
        let recovered = recover(&disk, facts)?;
        let found = recovered.found;
        if random.percent(20) {
            ask(&recovered.log.reader(), facts.entries, &mut random).map_err(|broken| broken.to_string())?;
        }
        if again {
            let kept = std::slice::from_ref(&recovered.kept);
            if random.percent(50) {
                recovered.log.seal().map_err(|error| format!("sealing what was recovered: {error}"))?;
            }
            self.again(&disk.take_moments(), &Facts { kept, ..*facts }, found, random.next())?;
        }
        if effort == Effort::GoOn {
            go_on(&disk, recovered, facts, seed)?;
        }
        Ok(found)
    }

    /// Crashes at the calls of a recovery, or of the sealing after it. All that it found was durable.
    fn again(&mut self, moments: &[SimDisk], facts: &Facts<'_>, found: usize, seed: u64) -> Result<(), Broken> {
        let mut random = Random::new(seed);
        for (number, moment) in moments.iter().enumerate() {
            for _ in 0..self.plan.again_images {
                let loss = random.pick(&Loss::ALL);
                let left = moment.crash(loss, random.next());
                if !self.seen.insert((left.digest(counts), usize::MAX - found)) {
                    continue;
                }
                self.tally.again += 1;
                let facts = Facts { exactly: facts.created.then_some(found), durable: None, ..*facts };
                let recovered = recover(&left, &facts).and_then(|recovered| match random.percent(20) {
                    true => go_on(&left, recovered, &facts, random.next()),
                    false => Ok(()),
                });
                recovered.map_err(|broken| format!("crashed again at call {number}, {loss:?}: {broken}"))?;
            }
        }
        Ok(())
    }
}

/// What is known of a walk while one of its operations runs.
struct Known<'a> {
    entries: &'a [Entry],
    floor: usize,
    created: bool,
    durable_only: bool,
    knows_durable: bool,
    incarnations: &'a HashSet<Incarnation>,
    kept: &'a [Kept],
}

impl Known<'_> {
    fn facts(&self) -> Facts<'_> {
        Facts {
            entries: self.entries,
            floor: self.floor,
            durable: None,
            exactly: None,
            created: self.created,
            incarnations: self.incarnations,
            kept: self.kept,
        }
    }
}
