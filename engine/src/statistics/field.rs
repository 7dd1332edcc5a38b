//! What is added up about one field in one group.

use super::answer::{FieldStatistics, Quantiles as Answered};
use super::codec::{put_number, take_number};
use super::distinct::Distinct;
use super::quantiles::Quantiles;
use super::sum::Sum;
use crate::fields::{Fields, put_varint};
use crate::query::{Cell, Inner, Number, Value};
use std::cmp::Ordering;

/// Which of the statistics that cost more than a little are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measures {
    pub(super) quantiles: bool,
    pub(super) distinct: bool,
}

impl Measures {
    pub(super) fn flags(self) -> u8 {
        u8::from(self.quantiles) | u8::from(self.distinct) << 1
    }
}

/// What is known of the values of one field in one group.
#[derive(Debug, Clone)]
pub(super) struct FieldTally {
    values: u64,
    numbers: u64,
    sum: Sum,
    range: Option<(Number, Number)>,
    quantiles: Option<Quantiles>,
    distinct: Option<Distinct>,
}

impl FieldTally {
    pub(super) fn new(measures: Measures) -> Self {
        Self {
            values: 0,
            numbers: 0,
            sum: Sum::default(),
            range: None,
            quantiles: measures.quantiles.then(Quantiles::default),
            distinct: measures.distinct.then(Distinct::default),
        }
    }

    /// Adds a value of a record. `term` is memory.
    pub(super) fn add(&mut self, cell: &Cell<'_>, term: &mut Vec<u8>) {
        self.values += 1;
        if let Some(distinct) = &mut self.distinct
            && cell.term(term)
        {
            distinct.add(term);
        }
        if let Cell::Number(number) = cell {
            self.number(number);
        }
    }

    /// Adds a value of which only the term counts: no number. `None` if it equals no other.
    pub(super) fn add_other(&mut self, term: Option<&[u8]>) {
        self.values += 1;
        if let (Some(distinct), Some(term)) = (&mut self.distinct, term) {
            distinct.add(term);
        }
    }

    /// Adds finite doubles. The same as adding each, and several times as fast for many. `term` is memory.
    pub(super) fn add_floats(&mut self, values: &[f64], term: &mut Vec<u8>) {
        if values.is_empty() {
            return;
        }
        self.values += values.len() as u64;
        self.numbers += values.len() as u64;
        if let Some(distinct) = &mut self.distinct {
            for value in values {
                term.clear();
                Number::of_f64(*value).term(term);
                distinct.add(term);
            }
        }
        let (min, max) = ends(values);
        self.stretch(&Number::of_f64(min));
        self.stretch(&Number::of_f64(max));
        self.sum.add_floats(values);
        if let Some(quantiles) = &mut self.quantiles {
            quantiles.add_floats(values);
        }
    }

    /// Makes the range of values one that has `number`.
    fn stretch(&mut self, number: &Number) {
        match &mut self.range {
            None => self.range = Some((number.clone(), number.clone())),
            Some((min, max)) => {
                if number.compare(min) == Some(Ordering::Less) {
                    *min = number.clone();
                } else if number.compare(max) == Some(Ordering::Greater) {
                    *max = number.clone();
                }
            }
        }
    }

    fn number(&mut self, number: &Number) {
        self.numbers += 1;
        self.sum.add(number);
        self.stretch(number);
        if let Some(quantiles) = &mut self.quantiles {
            quantiles.add(number);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.values = self.values.saturating_add(other.values);
        self.numbers = self.numbers.saturating_add(other.numbers);
        self.sum.merge(&other.sum);
        self.range = match (self.range.take(), other.range) {
            (Some((min, max)), Some((other_min, other_max))) => Some((
                if other_min.compare(&min) == Some(Ordering::Less) { other_min } else { min },
                if other_max.compare(&max) == Some(Ordering::Greater) { other_max } else { max },
            )),
            (own, other) => own.or(other),
        };
        if let (Some(own), Some(quantiles)) = (&mut self.quantiles, other.quantiles) {
            own.merge(quantiles);
        }
        if let (Some(own), Some(distinct)) = (&mut self.distinct, other.distinct) {
            own.merge(distinct);
        }
    }

    /// Bytes of memory besides its own.
    pub(super) fn bytes(&self) -> usize {
        self.sum.bytes()
            + self.quantiles.as_ref().map_or(0, Quantiles::bytes)
            + self.distinct.as_ref().map_or(0, Distinct::bytes)
    }

    pub(super) fn answer(&self) -> FieldStatistics {
        let value = |number: Number| Value(Inner::Number(number));
        let sum = self.sum.value().filter(|_| self.numbers > 0);
        let (min, max) = self.range.clone().unzip();
        let quantiles = self.quantiles.as_ref().and_then(|quantiles| {
            let [p50, p90, p95, p99] = quantiles.at([50, 90, 95, 99])?.map(|found| value(self.within(found)));
            Some(Answered { p50, p90, p95, p99, is_exact: quantiles.is_exact() })
        });
        FieldStatistics {
            values: self.values,
            numbers: self.numbers,
            avg: sum.as_ref().map(|sum| sum.nearest() / self.numbers as f64),
            sum: sum.map(value),
            is_sum_exact: self.sum.is_exact(),
            min: min.map(value),
            max: max.map(value),
            quantiles,
            distinct: self.distinct.as_ref().map(Distinct::count),
            is_distinct_exact: self.distinct.as_ref().is_none_or(Distinct::is_exact),
        }
    }

    /// `number`, or the end of the range of values that it lies beyond.
    fn within(&self, number: Number) -> Number {
        match &self.range {
            Some((min, _)) if number.compare(min) == Some(Ordering::Less) => min.clone(),
            Some((_, max)) if number.compare(max) == Some(Ordering::Greater) => max.clone(),
            _ => number,
        }
    }

    /// Adds its bytes to `out`. docs/format.md, "Statistics file".
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.values);
        put_varint(out, self.numbers);
        self.sum.encode(out);
        if let Some((min, max)) = self.range.as_ref().filter(|_| self.numbers > 0) {
            put_number(min, out);
            put_number(max, out);
        }
        if let Some(quantiles) = &self.quantiles {
            quantiles.encode(out);
        }
        if let Some(distinct) = &self.distinct {
            distinct.encode(out);
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>, measures: Measures) -> Option<Self> {
        let (values, numbers) = (fields.varint()?, fields.varint()?);
        let sum = Sum::decode(fields)?;
        let range = if numbers > 0 { Some((take_number(fields)?, take_number(fields)?)) } else { None };
        let quantiles = if measures.quantiles { Some(Quantiles::decode(fields)?) } else { None };
        let distinct = if measures.distinct { Some(Distinct::decode(fields)?) } else { None };
        Some(Self { values, numbers, sum, range, quantiles, distinct })
    }
}

/// The least and the greatest of finite doubles; in several lanes, of which none waits for the others.
fn ends(values: &[f64]) -> (f64, f64) {
    const LANES: usize = 4;
    let (mut min, mut max) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut look = |lane: usize, value: f64| {
        min[lane] = if value < min[lane] { value } else { min[lane] };
        max[lane] = if value > max[lane] { value } else { max[lane] };
    };
    for chunk in chunks {
        chunk.iter().enumerate().for_each(|(lane, value)| look(lane, *value));
    }
    rest.iter().for_each(|value| look(0, *value));
    (min.into_iter().fold(f64::INFINITY, f64::min), max.into_iter().fold(f64::NEG_INFINITY, f64::max))
}
