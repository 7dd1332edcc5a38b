//! Waiting times and memory over time, as SVG.

use super::{Interval, Report};
use crate::Result;
use crate::compare::figure;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (900, 640);

type Line = (&'static str, fn(&Interval) -> f64, RGBColor);

const TIMES: [Line; 4] = [
    ("p50", |one| one.p50_us, RGBColor(0x1f, 0x6f, 0xb4)),
    ("p99", |one| one.p99_us, RGBColor(0xd9, 0x7a, 0x1a)),
    ("p99.9", |one| one.p999_us, RGBColor(0xb0, 0x2a, 0x37)),
    ("max", |one| one.max_us, RGBColor(0x9a, 0xa5, 0xb1)),
];
const MEMORY: [Line; 1] = [("anonymous memory", |one| one.anonymous_mib, RGBColor(0x2b, 0x7a, 0x4b))];

/// Writes the chart.
pub(super) fn write(report: &Report, path: &Path) -> Result<()> {
    draw(report, path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn draw(report: &Report, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let (above, below) = area.split_vertically(SIZE.1 * 2 / 3);
    let title = format!(
        "Appends of {} events a second by {} threads, µs (logarithmic)",
        figure(report.total.events_per_second),
        report.threads
    );
    let last = report.intervals.last().map_or(1.0, |one| one.at_seconds);
    let top = |lines: &[Line]| {
        let values = report.intervals.iter().flat_map(|one| lines.iter().map(|line| line.1(one)));
        values.fold(1.0, f64::max) * 1.1
    };
    let mut chart = ChartBuilder::on(&above)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..last, (10.0..top(&TIMES).max(11.0)).log_scale())
        .map_err(|error| error.to_string())?;
    chart.configure_mesh().light_line_style(TRANSPARENT).draw().map_err(|error| error.to_string())?;
    for line in TIMES {
        let points = report.intervals.iter().map(|one| (one.at_seconds, line.1(one)));
        let series = chart.draw_series(LineSeries::new(points, line.2)).map_err(|error| error.to_string())?;
        series.label(line.0).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], line.2));
    }
    chart.configure_series_labels().background_style(WHITE).draw().map_err(|error| error.to_string())?;

    let mut chart = ChartBuilder::on(&below)
        .caption("Anonymous memory, MiB", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..last, 0.0..top(&MEMORY))
        .map_err(|error| error.to_string())?;
    let mesh = chart.configure_mesh().light_line_style(TRANSPARENT).x_desc("seconds").draw();
    mesh.map_err(|error| error.to_string())?;
    for line in MEMORY {
        let points = report.intervals.iter().map(|one| (one.at_seconds, line.1(one)));
        chart.draw_series(LineSeries::new(points, line.2)).map_err(|error| error.to_string())?;
    }
    area.present().map_err(|error| error.to_string())?;
    Ok(())
}
