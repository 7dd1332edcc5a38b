//! Drawn records with a merged schema to Parquet and back, value by value, by the checks of the export's own tests.

#[path = "../../../export/tests/common/mod.rs"]
mod common;

use crate::draw::Draw;
use annals_export::ExportOptions;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let mut options = ExportOptions::default();
    options.with_json = draw.one_in(2);
    options.row_group_rows = 1 + draw.below(4);
    let records: Vec<_> = (0..draw.below(8)).map(|_| draw.record()).collect();
    // The plan of a schema that was merged from two segments' is that of all records.
    let (first, second) = records.split_at(draw.below(records.len() + 1));
    let mut merged = common::shape(first);
    merged.merge(&common::shape(second));
    assert_eq!(merged, common::shape(&records));
    let (_, report) = common::round_trip(&records, &options);
    assert_eq!(report.rows as usize, records.len());
}
