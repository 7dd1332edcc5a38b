//! What goes to stdout, and how reports look: a table for people, JSON for programs.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::{Failure, Result};

/// Bytes gathered before they are written to stdout.
pub(crate) const STDOUT_BUFFER_BYTES: usize = 256 << 10;

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table, for people
    Table,
    /// One JSON document, indented
    Json,
    /// One JSON document on one line
    Ndjson,
}

/// The option every command with a report has.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct OutputArgs {
    /// How to print the report [default: table on a terminal, json otherwise]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

impl OutputArgs {
    /// The format asked for, or the one that suits what stdout is.
    pub(crate) fn format(self) -> Format {
        self.output.unwrap_or(if io::stdout().is_terminal() { Format::Table } else { Format::Json })
    }
}

/// Stdout, buffered, with a closed pipe told apart from real failures.
pub(crate) struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(STDOUT_BUFFER_BYTES, io::stdout().lock()))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(stdout_failure)
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.0.flush().map_err(stdout_failure)
    }
}

/// Whether nobody can read our output any more: for a command that may have nothing to write for long.
#[cfg(unix)]
pub(crate) fn reader_is_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = rustix::stdio::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Of a pipe without a reader, poll reports an error condition without being asked to.
    poll(&mut fds, Some(&at_once)).is_ok_and(|_| fds[0].revents().contains(PollFlags::ERR))
}

/// Whether nobody can read our output any more. Found out only by writing, here.
#[cfg(not(unix))]
pub(crate) fn reader_is_gone() -> bool {
    false
}

/// Writes `bytes` to stdout.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = Out::new();
    out.write(bytes)?;
    out.flush()
}

/// Writes a line for people to stderr. A closed stderr is nobody's loss.
pub(crate) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a report in `format`; `table` draws it for people.
pub(crate) fn report<T: Serialize>(format: Format, value: &T, table: impl FnOnce() -> String) -> Result<()> {
    let encode = |result: serde_json::Result<String>| {
        result.map_err(|error| Failure::Failed(format!("cannot write the report as JSON: {error}")))
    };
    let mut text = match format {
        Format::Table => table(),
        Format::Json => encode(serde_json::to_string_pretty(value))?,
        Format::Ndjson => encode(serde_json::to_string(value))?,
    };
    text.push('\n');
    print(text.as_bytes())
}

fn stdout_failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::Failed(format!("cannot write to standard output: {error}")),
    }
}

/// Two columns: what, and its value.
pub(crate) fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

/// A table with a header line; columns named in `numeric` are right-aligned.
pub(crate) fn grid(header: &[&str], numeric: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(column, text)| {
            let cell = Cell::new(text);
            if numeric.contains(&column) { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
    }
    table
}

/// A count with thousands separated: 1,234,567.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Counts together: some are what a log says, which may be any number.
pub(crate) fn total(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// A count and its noun, in the plural where that is due.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A size for people: 1.5 MiB.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(plural(1, "record"), "1 record");
        assert_eq!(plural(2, "record"), "2 records");
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}
