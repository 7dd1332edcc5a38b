//! From samples to medians.

use super::job::Sample;
use super::measures::{ALL, Measure};

/// The repetitions of one measurement.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) contender: &'a str,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) samples: Vec<&'a Sample>,
}

/// The rows of each measure that has any, best first.
pub(super) fn rows(samples: &[Sample]) -> Vec<(&'static Measure, Vec<Row<'_>>)> {
    let mut tables = Vec::new();
    for measure in &ALL {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for sample in samples.iter().filter(|sample| sample.measure == measure.name) {
            match rows.iter_mut().find(|row| row.contender == sample.contender) {
                Some(row) => row.samples.push(sample),
                None => rows.push(Row {
                    contender: &sample.contender,
                    median: 0.0,
                    min: 0.0,
                    max: 0.0,
                    samples: vec![sample],
                }),
            }
        }
        for row in &mut rows {
            let values: Vec<f64> = row.samples.iter().map(|sample| sample.value).collect();
            row.median = median(values.iter().copied());
            row.min = values.iter().copied().fold(f64::INFINITY, f64::min);
            row.max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        }
        rows.sort_by(|a, b| match measure.unit.is_better_high() {
            true => b.median.total_cmp(&a.median),
            false => a.median.total_cmp(&b.median),
        });
        if !rows.is_empty() {
            tables.push((measure, rows));
        }
    }
    tables
}

/// The middle of the values, or the middle between the two in the middle; 0 of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

/// The median of what `of` says of the samples that it says something of.
pub(super) fn median_of(row: &Row<'_>, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = row.samples.iter().filter_map(|sample| of(sample)).collect();
    (!values.is_empty()).then(|| median(values.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median([].into_iter()), 0.0);
    }
}
