//! A bar chart of each measure, as SVG.

use super::measures::Measure;
use super::parent::Results;
use super::report::count;
use super::summary::{Row, rows};
use crate::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const WIDTH: u32 = 900;
const BAR: i32 = 22;
const ROW: i32 = 32;
/// Left of the bars, for the names; right of them, for the figures; above, for the title.
const LEFT: i32 = 150;
const RIGHT: i32 = 190;
const TOP: i32 = 70;

const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const THEIRS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const SPREAD: RGBColor = RGBColor(0x33, 0x33, 0x33);

/// Writes a chart for each measure into `folder`, and returns the names of those measures.
pub(super) fn write(results: &Results, folder: &Path) -> Result<Vec<String>> {
    let mut written = Vec::new();
    for (measure, rows) in rows(&results.samples) {
        let path = folder.join(format!("{}.svg", measure.name));
        draw(measure, &rows, results, &path).map_err(|error| format!("{}: {error}", path.display()))?;
        written.push(measure.name.to_owned());
    }
    Ok(written)
}

fn draw(measure: &Measure, rows: &[Row<'_>], results: &Results, path: &Path) -> Result<()> {
    let height = TOP + ROW * rows.len() as i32 + 16;
    let area = SVGBackend::new(path, (WIDTH, height as u32)).into_drawing_area();
    let fail = |error: DrawingAreaErrorKind<_>| format!("{error}");
    area.fill(&WHITE).map_err(fail)?;
    let text = |size: i32, h: HPos, color: &RGBColor| {
        ("sans-serif", size).into_font().color(color).pos(Pos::new(h, VPos::Center))
    };
    let better = if measure.unit.is_better_high() { "more is better" } else { "less is better" };
    let log = is_logarithmic(rows);
    let scale = if log { ", logarithmic" } else { "" };
    let below = format!(
        "{}, {better}{scale}; {} events, median of {} with min and max; load {}",
        measure.unit.label(),
        count(results.events as f64),
        rows.iter().map(|row| row.samples.len()).max().unwrap_or(0),
        results.machine.load
    );
    area.draw(&Text::new(measure.title, (16, 22), text(20, HPos::Left, &BLACK))).map_err(fail)?;
    area.draw(&Text::new(below, (16, 48), text(13, HPos::Left, &SPREAD))).map_err(fail)?;
    let length = lengths(rows, log);
    for (index, row) in rows.iter().enumerate() {
        let middle = TOP + ROW * index as i32 + ROW / 2;
        let color = if row.contender.starts_with("annals") { OURS } else { THEIRS };
        let end = LEFT + length(row.median);
        area.draw(&Text::new(row.contender, (LEFT - 8, middle), text(14, HPos::Right, &BLACK))).map_err(fail)?;
        let bar = [(LEFT, middle - BAR / 2), (end, middle + BAR / 2)];
        area.draw(&Rectangle::new(bar, color.filled())).map_err(fail)?;
        let (from, to) = (LEFT + length(row.min), LEFT + length(row.max));
        area.draw(&PathElement::new([(from, middle), (to, middle)], SPREAD.stroke_width(2))).map_err(fail)?;
        let figure = format!("{} {}", count(row.median), measure.unit.label());
        area.draw(&Text::new(figure, (to.max(end) + 8, middle), text(14, HPos::Left, &BLACK))).map_err(fail)?;
    }
    area.present().map_err(fail)?;
    Ok(())
}

/// Whether bars on a linear scale would be too short to see.
fn is_logarithmic(rows: &[Row<'_>]) -> bool {
    let smallest = rows.iter().map(|row| row.median).fold(f64::INFINITY, f64::min);
    let largest = rows.iter().map(|row| row.median).fold(0.0, f64::max);
    smallest > 0.0 && largest / smallest > 50.0
}

/// How long a bar is, in pixels.
fn lengths(rows: &[Row<'_>], log: bool) -> impl Fn(f64) -> i32 {
    let largest = rows.iter().map(|row| row.max).fold(f64::MIN_POSITIVE, f64::max);
    let smallest = rows.iter().map(|row| row.min).fold(f64::INFINITY, f64::min).max(f64::MIN_POSITIVE);
    let pixels = f64::from(WIDTH as i32 - LEFT - RIGHT);
    move |value| {
        let share = match log {
            // The shortest bar is a twentieth, not nothing.
            true => 0.05 + 0.95 * (value / smallest).ln() / (largest / smallest).ln(),
            false => value / largest,
        };
        (share.clamp(0.0, 1.0) * pixels) as i32
    }
}
