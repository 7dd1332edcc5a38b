//! Numbers that follow others of the same record: only the difference is kept then.

use super::dictionary::{Dictionary, TIME_SLOT};
use super::encode::{Collected, Encoder};
use super::entry::Holds;
use super::finish::differences;
use super::learn::{LearnOptions, Sample};
use super::{ITEMS_MAX, KIND_USER, Meta};

/// How many records are looked at.
const RECORDS: usize = 2_048;
/// How many numbers of a slot are looked at first.
const GLANCE: usize = 64;
/// Numbers that take fewer bits stay as they are.
const BITS_MIN: f64 = 1.5;

/// Chooses for each slot of numbers the one before it, of those of a record's own keys, that it follows closest.
pub(super) fn choose(dictionary: &mut Dictionary, samples: &[Sample<'_>], options: &LearnOptions) {
    let Ok(mut encoder) = Encoder::new(dictionary, options.level) else { return };
    for sample in samples.iter().take(RECORDS) {
        if encoder.items() < ITEMS_MAX {
            encoder.push(sample.time, &Meta { kind: KIND_USER, flags: 0, key: &[] }, sample.body);
        }
    }
    let slots = encoder.collected();
    let direct = dictionary.direct();
    let mut chosen: Vec<Option<u32>> = vec![None; slots.len()];
    for own in 1..slots.len() {
        if dictionary.slots[own].holds != Holds::Number || slots[own].numbers.len() < GLANCE / 4 {
            continue;
        }
        let mut best = bits(&slots[own].numbers);
        if best < BITS_MIN {
            continue;
        }
        let mut reference = None;
        for other in 0..own {
            let slot = &dictionary.slots[other];
            let may = other as u32 == TIME_SLOT || direct[slot.column as usize];
            if slot.holds != Holds::Number || !may || chosen[other].is_some() || slots[other].numbers.is_empty() {
                continue;
            }
            let glance = first(&slots[own], GLANCE);
            if bits(&differences(&glance, &slots[other])) > 0.75 * bits(&glance.numbers) {
                continue;
            }
            let with = bits(&differences(&slots[own], &slots[other])) + 0.25;
            if with < 0.9 * best {
                (best, reference) = (with, Some(other as u32));
            }
        }
        chosen[own] = reference;
    }
    for (slot, reference) in dictionary.slots.iter_mut().zip(chosen) {
        slot.reference = reference;
    }
}

fn first(all: &Collected, count: usize) -> Collected {
    let count = count.min(all.numbers.len());
    Collected { numbers: all.numbers[..count].to_vec(), rows: all.rows[..count].to_vec(), ..Collected::default() }
}

/// About how many bits a number takes: of those in a run of 128, as many as the largest, or as the largest difference.
fn bits(numbers: &[i64]) -> f64 {
    let width = |numbers: &mut dyn Iterator<Item = i64>| {
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        numbers.for_each(|number| (min, max) = (min.min(number), max.max(number)));
        64 - (max.wrapping_sub(min) as u64).leading_zeros()
    };
    let total: u64 = numbers
        .chunks(128)
        .map(|run| {
            let deltas = &mut run.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
            let delta_bits = if run.len() > 1 { width(deltas) } else { 64 };
            u64::from(width(&mut run.iter().copied()).min(delta_bits)) * run.len() as u64
        })
        .sum();
    total as f64 / numbers.len().max(1) as f64
}
