//! Threads that append, each waiting for each append; or one that doesn't wait, with another that does so for it.

use super::job::{Times, times};
use crate::Result;
use crate::contenders::{Pending, Store};
use crate::items::Item;
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

/// What the threads did together.
pub(super) struct Driven {
    /// Events whose append returned.
    pub events: u64,
    /// From the common start to the end of the last append.
    pub elapsed: Duration,
    /// Times of appends.
    pub times: Times,
}

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Threads.
    pub threads: usize,
    /// Events an append.
    pub batch: usize,
    /// Every how many appends one is timed: reading the clock takes 25 ns.
    pub timed: usize,
    /// No append begins later.
    pub limit: Duration,
}

/// Appends `items` in as many threads, each a run of them.
///
/// # Errors
/// The first that a thread met.
pub(super) fn drive(store: &dyn Store, items: &[Item], how: How) -> Result<Driven> {
    let barrier = Barrier::new(how.threads);
    let part = items.len().div_ceil(how.threads).next_multiple_of(how.batch).max(1);
    let ended: Vec<Result<(u64, Instant, Instant, Times)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..how.threads)
            .map(|number| {
                let mine = items.get(number * part..).unwrap_or_default();
                let mine = &mine[..part.min(mine.len())];
                let barrier = &barrier;
                scope.spawn(move || append(store, mine, how, barrier))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))).collect()
    });
    let mut all = times();
    let (mut events, mut begun, mut last) = (0, None::<Instant>, None::<Instant>);
    for thread in ended {
        let (its_events, its_begin, its_end, its_times) = thread?;
        events += its_events;
        begun = Some(begun.map_or(its_begin, |begun| begun.min(its_begin)));
        last = Some(last.map_or(its_end, |last| last.max(its_end)));
        all.add(its_times)?;
    }
    let elapsed = begun.zip(last).map_or(Duration::ZERO, |(begun, last)| last - begun);
    Ok(Driven { events, elapsed, times: all })
}

fn append(store: &dyn Store, items: &[Item], how: How, barrier: &Barrier) -> Result<(u64, Instant, Instant, Times)> {
    let (mut times, mut events) = (times(), 0);
    let appender = store.appender();
    // Also by a thread that has failed: the others would wait for it.
    barrier.wait();
    let mut appender = appender?;
    let begun = Instant::now();
    for (number, batch) in items.chunks(how.batch).enumerate() {
        if number % how.timed != 0 {
            appender.append(batch)?;
        } else {
            let before = Instant::now();
            if before - begun > how.limit {
                break;
            }
            appender.append(batch)?;
            times.saturating_record(before.elapsed().as_nanos() as u64);
        }
        events += batch.len() as u64;
    }
    Ok((events, begun, Instant::now(), times))
}

/// Every how many appends that aren't waited for one is timed.
const TICKETS_TIMED: usize = 64;

/// Appends `items` without waiting, until `limit`, and then waits for all. Times are from just before an append until it is
/// durable, as the thread that waits for it sees it; waiting in the append counts.
///
/// # Errors
/// The first that was met.
pub(super) fn submit(store: &dyn Store, items: &[Item], limit: Duration) -> Result<Driven> {
    let (sender, receiver) = mpsc::channel::<(Instant, Box<dyn Pending>)>();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || -> Result<Times> {
            let mut times = times();
            for (begun, pending) in receiver {
                pending.wait()?;
                times.saturating_record(begun.elapsed().as_nanos() as u64);
            }
            Ok(times)
        });
        let mut submitter = store.submitter()?;
        let (mut events, begun) = (0, Instant::now());
        for (number, item) in items.iter().enumerate() {
            let before = (number % TICKETS_TIMED == 0).then(Instant::now);
            if before.is_some_and(|before| before - begun > limit) {
                break;
            }
            let pending = submitter.submit(item, before.is_some())?;
            events += 1;
            if let Some(sent) = before.zip(pending)
                && sender.send(sent).is_err()
            {
                break;
            }
        }
        submitter.finish()?;
        let elapsed = begun.elapsed();
        drop(sender);
        let times = waiter.join().unwrap_or_else(|_| Err("a thread panicked".into()))?;
        Ok(Driven { events, elapsed, times })
    })
}
