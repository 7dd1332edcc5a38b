//! Appending once in a walk: a key that is among the newest records gives its first one again, in every life of the log.

use crate::simulator::model::{Entry, Failure, Step};
use crate::simulator::random::Random;
use crate::simulator::walk::Walk;
use annals::{Error, Options, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// So many keys there are: few, so that they come again.
const KEYS: usize = 12;

/// Which keys count in one life of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// How many of the newest records are looked at.
    records: usize,
    age: Option<Duration>,
    /// The latest moment, in µs, before which a record was too old in this life: the clock may be put back, and what was
    /// forgotten then stays so.
    since: i64,
}

impl Window {
    /// The window of a log that is opened without saying.
    pub(crate) const DEFAULT: Self = Self { records: 100_000, age: None, since: i64::MIN };

    pub(crate) fn draw(random: &mut Random) -> Self {
        let records = random.pick(&[5, 20, Self::DEFAULT.records]);
        let age = random.percent(20).then_some(Duration::from_secs(3_600));
        Self { records, age, ..Self::DEFAULT }
    }

    pub(crate) fn options(&self, options: Options) -> Options {
        let options = options.once_records(self.records as u64);
        match self.age {
            Some(age) => options.once_age(age),
            None => options,
        }
    }

    /// The moment before which a record is too old for a look at the clock at `now`.
    fn since(&self, now: Timestamp) -> i64 {
        self.age.map_or(i64::MIN, |age| now.as_micros().saturating_sub(age.as_micros() as i64))
    }
}

/// The seqs of `key` in the window of a log of `entries` that begins at `first_seq`: the first that counts for certain, and
/// all that may count. They differ only where the clock decides.
struct Known {
    certain: Option<usize>,
    possible: Vec<usize>,
}

fn known(entries: &[Entry], first_seq: usize, key: &[u8], window: &Window, since: i64) -> Known {
    let first = entries.len().saturating_sub(window.records).max(first_seq);
    let own = (first..entries.len()).filter(|&seq| *entries[seq].key == *key);
    let possible: Vec<usize> = own.filter(|&seq| entries[seq].time.1 >= since).collect();
    let certain = possible.iter().copied().find(|&seq| entries[seq].time.0 >= window.since);
    Known { certain, possible }
}

impl Known {
    /// Whether `seq` may be the answer, where the next record would be `next`.
    fn allows(&self, seq: usize, next: usize) -> bool {
        let is_first = self.certain.is_none_or(|certain| seq <= certain);
        is_first && (seq == next || self.possible.contains(&seq))
    }
}

/// The seq that asking again for the key of the last record that has one gives, in a log that keeps all from `first_seq` on.
pub(crate) fn asked_again(entries: &[Entry], first_seq: u64) -> Option<(Arc<[u8]>, u64)> {
    let key = &entries[first_seq as usize..].iter().rev().find(|entry| !entry.key.is_empty())?.key;
    let known = known(entries, first_seq as usize, key, &Window::DEFAULT, i64::MIN);
    Some((Arc::clone(key), known.certain? as u64))
}

impl Walk {
    /// Appends a record with a key that was there before, or was not.
    pub(crate) fn once(&mut self, random: &mut Random) -> Step {
        let key: Arc<[u8]> = format!("key {}", random.below(KEYS)).into_bytes().into();
        let given = random.percent(50).then(|| Timestamp::from_micros(random.next() as i64 >> random.below(40)));
        let size = random.below(600);
        let body = self.model.body(size, random);
        let next = self.model.entries.len();
        let before = self.disk.clock();
        let now = before.as_micros();
        let time = given.map_or((now, now + 1_000), |given| (given.as_micros(), given.as_micros()));
        let since = self.window.since(before);
        // The look at the clock that decides comes a little later.
        self.window.since = self.window.since.max(self.window.since(Timestamp::from_micros(now + 1_000)));
        let first_seq = self.model.kept[0].first_seq() as usize;
        let known = known(&self.model.entries, first_seq, &key, &self.window, since);
        let log = self.log()?;
        let (done, incarnation) = (log.append_once_raw(&key, given, &body), log.incarnation());
        if done.is_err() && known.certain.is_some() {
            return done.map(drop).map_err(Failure::Engine);
        }
        match done {
            Ok(seq) => {
                let seq = seq as usize;
                if !known.allows(seq, next) {
                    let (Known { certain, possible }, window) = (known, self.window);
                    let what =
                        format!("{key:?} is record {seq}, not {certain:?} or of {possible:?}: {window:?}, next {next}");
                    return Err(Failure::Broken(what));
                }
                if seq == next {
                    self.model.append_keyed(body, key, time, incarnation);
                }
                self.model.durable = self.model.durable.max(seq + 1);
                self.model.written = self.model.written.max(seq + 1);
                Ok(())
            }
            // Its record may be found all the same.
            Err(error @ Error::Poisoned(_)) => {
                self.model.append_keyed(body, key, time, incarnation);
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
