//! The results as a page of Markdown.

use super::job::Latencies;
use super::measures::Measure;
use super::parent::{BUSY_MAX, Results};
use super::summary::{Row, median_of, rows};
use crate::items::Source;
use std::fmt::Write;

/// Who the others are compared with.
const OURS: &str = "annals";

/// The columns of latencies.
const PERCENTILES: [fn(&Latencies) -> f64; 4] =
    [|times| times.p50, |times| times.p99, |times| times.p999, |times| times.max];

/// The page, with the charts that were written beside it.
pub(super) fn markdown(results: &Results, charts: &[String]) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = header(&mut page, results);
    for (measure, rows) in rows(&results.samples) {
        let _ = table(&mut page, measure, &rows, charts);
    }
    let _ = footer(&mut page, results);
    page
}

fn header(page: &mut String, results: &Results) -> std::fmt::Result {
    let machine = &results.machine;
    let workload = match &results.source {
        Source::Synthetic(seed) => format!("{} synthetic audit events, seed {seed}", count(results.events as f64)),
        Source::File(path) => format!("{} lines of {}", count(results.events as f64), path.display()),
    };
    let busy = results.samples.iter().filter(|sample| sample.busy > BUSY_MAX).count();
    writeln!(page, "# Comparison\n")?;
    writeln!(
        page,
        "- **workload**: {workload}, {:.0} B each as JSON, {:.0} B as MessagePack",
        results.json_bytes, results.messagepack_bytes
    )?;
    writeln!(page, "- **figures**: medians of {} (min–max), interleaved, a process each", results.repetitions)?;
    writeln!(
        page,
        "- **machine**: {}, {} cores, {:.0} GiB, {}; data on {}",
        machine.cpu,
        machine.cores,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.file_system
    )?;
    writeln!(page, "- **built by** {}, commit {}", machine.rustc, machine.commit)?;
    writeln!(
        page,
        "- **load** when it began {}; others used more than {:.0} % of the processors before {busy} of {} measurements \
         (waited {} s at most); took {:.0} s",
        machine.load,
        BUSY_MAX * 100.0,
        results.samples.len(),
        results.quiet_seconds,
        results.run_seconds
    )?;
    writeln!(page, "- an append measure ends after {} s, whatever was appended by then\n", results.seconds_max)?;
    writeln!(
        page,
        "\"annals is\": how many times better Annals is. Memory: the most anonymous memory beyond the workload. B/event: \
         blocks on the disk after closing, with what is set aside.\n"
    )
}

fn table(page: &mut String, measure: &Measure, rows: &[Row<'_>], charts: &[String]) -> std::fmt::Result {
    writeln!(page, "## {} (`{}`)\n", measure.title, measure.name)?;
    writeln!(
        page,
        "| contender | {} | min–max | annals is | p50 µs | p99 µs | p99.9 µs | max µs | memory MiB | B/event | events |",
        measure.unit.label()
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|---|---|")?;
    let ours = rows.iter().find(|row| row.contender == OURS).map(|row| row.median);
    for row in rows {
        let advantage = match ours {
            Some(_) if row.contender == OURS => "–".to_owned(),
            Some(ours) => format!("{:.2} ×", measure.unit.advantage(ours, row.median)),
            None => "–".to_owned(),
        };
        write!(
            page,
            "| {} | **{}** | {}–{} | {advantage} |",
            row.contender,
            count(row.median),
            count(row.min),
            count(row.max)
        )?;
        for of in PERCENTILES {
            let value = median_of(row, |sample| sample.latencies.as_ref().map(of));
            write!(page, " {} |", value.map_or("–".to_owned(), count))?;
        }
        let memory = row.samples.iter().map(|sample| sample.anonymous_bytes_max).max().unwrap_or(0);
        let disk = median_of(row, |sample| Some(sample.disk_bytes as f64 / sample.disk_events.max(1) as f64));
        let events = median_of(row, |sample| Some(sample.events as f64));
        writeln!(
            page,
            " {:.1} | {} | {} |",
            memory as f64 / f64::from(1 << 20),
            disk.map_or("–".to_owned(), |bytes| format!("{bytes:.1}")),
            events.map_or("–".to_owned(), count)
        )?;
    }
    writeln!(page)?;
    let mut notes: Vec<String> = Vec::new();
    for row in rows {
        for note in row.samples.iter().flat_map(|sample| &sample.notes) {
            let note = format!("{}: {note}", row.contender);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    for note in notes {
        writeln!(page, "- {note}")?;
    }
    if charts.iter().any(|name| name == measure.name) {
        writeln!(page, "\n![{}]({}.svg)\n", measure.title, measure.name)?;
    }
    Ok(())
}

fn footer(page: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(page, "## How each is set up\n")?;
    writeln!(
        page,
        "All get the same events and, unless they are JSON, encode them by the same MessagePack serializer within the time.\n"
    )?;
    for contender in &results.contenders {
        writeln!(page, "- **{}** {}", contender.name, contender.version)?;
        let facts = [
            ("durable", contender.durable),
            ("not synced", contender.unsynced),
            ("not waited for", contender.tickets),
            ("reads", contender.reads),
            ("window", contender.window),
            ("by id", contender.finds),
            ("export", contender.export),
            ("aggregates", contender.aggregates),
        ];
        for (what, fact) in facts {
            if let Some(fact) = fact {
                writeln!(page, "  - {what}: {fact}")?;
            }
        }
    }
    if !results.left_out.is_empty() {
        writeln!(page, "\n## Left out\n")?;
        results.left_out.iter().try_for_each(|reason| writeln!(page, "- {reason}"))?;
    }
    if !results.failures.is_empty() {
        writeln!(page, "\n## FAILED\n")?;
        results.failures.iter().try_for_each(|failure| writeln!(page, "- {failure}"))?;
    }
    Ok(())
}

/// A figure with three digits that count, and commas between thousands.
pub(crate) fn count(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn figures_are_short() {
        let figures = [0.123, 9.876, 98.76, 999.4, 1_000.0, 1_234_567.0].map(count);
        assert_eq!(figures, ["0.12", "9.88", "98.8", "999", "1,000", "1,234,567"]);
    }
}
