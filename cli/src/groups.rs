//! Groups of statistics as text: a table for people, NDJSON and CSV for programs.

use std::fmt::Write;
use std::io::{self, IsTerminal};

use annals::{FieldPath, FieldStatistics, Group, GroupKey, Value};
use clap::ValueEnum;

use crate::output::{count, grid};
use crate::time::Rfc3339;

/// How groups are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupFormat {
    /// A table, for people; ~ marks what is not exact
    Table,
    /// One JSON document for each group
    Ndjson,
    /// Comma-separated values with a header line
    Csv,
}

impl Default for GroupFormat {
    /// The one that suits what stdout is.
    fn default() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson }
    }
}

/// What can be told of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// How many values there are
    Values,
    /// How many of them are numbers
    Numbers,
    /// How many different values there are
    Distinct,
    /// The sum of the numbers
    Sum,
    /// Their average
    Avg,
    /// The least
    Min,
    /// The greatest
    Max,
    /// The median
    P50,
    /// What 90 of a hundred don't exceed
    P90,
    /// What 95 of a hundred don't exceed
    P95,
    /// What 99 of a hundred don't exceed
    P99,
}

impl Column {
    pub(crate) fn is_quantile(self) -> bool {
        matches!(self, Self::P50 | Self::P90 | Self::P95 | Self::P99)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Numbers => "numbers",
            Self::Distinct => "distinct",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    /// What it is for a field, as JSON; `None` without a value.
    fn json(self, field: &FieldStatistics) -> Option<String> {
        let quantiles = field.quantiles.as_ref();
        match self {
            Self::Values => Some(field.values.to_string()),
            Self::Numbers => Some(field.numbers.to_string()),
            Self::Distinct => field.distinct.map(|distinct| distinct.to_string()),
            Self::Sum => field.sum.as_ref().and_then(number),
            Self::Avg => field.avg.filter(|avg| avg.is_finite()).map(|avg| format!("{avg:?}")),
            Self::Min => field.min.as_ref().and_then(number),
            Self::Max => field.max.as_ref().and_then(number),
            Self::P50 => quantiles.and_then(|all| number(&all.p50)),
            Self::P90 => quantiles.and_then(|all| number(&all.p90)),
            Self::P95 => quantiles.and_then(|all| number(&all.p95)),
            Self::P99 => quantiles.and_then(|all| number(&all.p99)),
        }
    }

    fn is_exact(self, field: &FieldStatistics) -> bool {
        match self {
            Self::Sum | Self::Avg => field.is_sum_exact,
            Self::Distinct => field.is_distinct_exact,
            _ if self.is_quantile() => field.quantiles.as_ref().is_none_or(|quantiles| quantiles.is_exact),
            _ => true,
        }
    }

    /// What it is for a field, for people.
    fn plain(self, field: &FieldStatistics) -> String {
        let text = match self {
            Self::Values => Some(count(field.values)),
            Self::Numbers => Some(count(field.numbers)),
            Self::Distinct => field.distinct.map(count),
            Self::Avg => field.avg.map(rounded),
            _ => self.json(field),
        };
        let mark = if self.is_exact(field) { "" } else { "~" };
        text.map_or_else(|| "-".to_owned(), |text| format!("{mark}{text}"))
    }
}

/// What was asked, for the names of columns.
pub(crate) struct Groups<'a> {
    pub(crate) by: &'a [FieldPath],
    pub(crate) of: &'a [FieldPath],
    pub(crate) columns: &'a [Column],
    pub(crate) has_buckets: bool,
}

impl Groups<'_> {
    pub(crate) fn text(&self, groups: &[Group], format: GroupFormat) -> String {
        match format {
            GroupFormat::Table => self.table(groups),
            GroupFormat::Ndjson => groups.iter().map(|group| self.line(group)).collect(),
            GroupFormat::Csv => self.csv(groups),
        }
    }

    /// The names of the columns; those of fields with their paths, if there are several fields or if that is `always` so.
    fn header(&self, always: bool) -> Vec<String> {
        let mut header: Vec<String> = self.has_buckets.then(|| "time".to_owned()).into_iter().collect();
        header.extend(self.by.iter().map(ToString::to_string));
        header.extend(["records".to_owned(), "per_second".to_owned()]);
        for path in self.of {
            let has_path = always || self.of.len() > 1;
            let name = |column: &Column| match has_path {
                true => format!("{path} {}", column.name()),
                false => column.name().to_owned(),
            };
            header.extend(self.columns.iter().map(name));
        }
        header
    }

    fn table(&self, groups: &[Group]) -> String {
        let header = self.header(false);
        let names: Vec<&str> = header.iter().map(String::as_str).collect();
        let first_number = usize::from(self.has_buckets) + self.by.len();
        let numeric: Vec<usize> = (first_number..names.len()).collect();
        let rows = groups.iter().map(|group| {
            let mut row: Vec<String> = group.bucket.map(|bucket| Rfc3339(bucket).to_string()).into_iter().collect();
            row.extend(group.keys.iter().map(|key| shown(&spelled(key))));
            row.extend([count(group.records), group.per_second.map_or_else(|| "-".to_owned(), rounded)]);
            row.extend(group.fields.iter().flat_map(|field| self.columns.iter().map(|column| column.plain(field))));
            row
        });
        format!("{}\n", grid(&names, &numeric, rows))
    }

    fn line(&self, group: &Group) -> String {
        let mut line = "{".to_owned();
        // Writing to a String can't fail.
        if let Some(bucket) = group.bucket {
            let _ = write!(line, r#""time":"{}","#, Rfc3339(bucket));
        }
        let by = self.by.iter().zip(&group.keys).filter_map(|(path, key)| match key {
            GroupKey::Missing => None,
            GroupKey::Other => Some(format!(r#"{}:{{"other":true}}"#, quoted(&path.to_string()))),
            GroupKey::Value(value) => Some(format!("{}:{}", quoted(&path.to_string()), json(value))),
        });
        let by: Vec<String> = by.collect();
        let per_second = group.per_second.map_or_else(|| "null".to_owned(), |rate| format!("{rate:?}"));
        let of: Vec<String> = self.of.iter().zip(&group.fields).map(|(path, field)| self.field(path, field)).collect();
        let _ = writeln!(
            line,
            r#""by":{{{}}},"records":{},"per_second":{per_second},"of":{{{}}}}}"#,
            by.join(","),
            group.records,
            of.join(",")
        );
        line
    }

    fn field(&self, path: &FieldPath, field: &FieldStatistics) -> String {
        let told = |column: &Column| {
            let value = column.json(field).unwrap_or_else(|| "null".to_owned());
            format!(r#""{}":{value}"#, column.name())
        };
        let told: Vec<String> = self.columns.iter().map(told).collect();
        let inexact: Vec<String> = self.inexact(field).map(|name| format!(r#""{name}""#)).collect();
        format!(r#"{}:{{{},"inexact":[{}]}}"#, quoted(&path.to_string()), told.join(","), inexact.join(","))
    }

    /// The names of what is not exact.
    fn inexact(&self, field: &FieldStatistics) -> impl Iterator<Item = &'static str> {
        self.columns.iter().filter(|column| !column.is_exact(field)).map(|column| column.name())
    }

    fn csv(&self, groups: &[Group]) -> String {
        let mut header = self.header(true);
        header.extend(self.of.iter().map(|path| format!("{path} inexact")));
        let mut text = csv_line(header);
        for group in groups {
            let mut row: Vec<String> = group.bucket.map(|bucket| Rfc3339(bucket).to_string()).into_iter().collect();
            row.extend(group.keys.iter().map(|key| match key {
                GroupKey::Missing => String::new(),
                key => spelled(key),
            }));
            row.push(group.records.to_string());
            row.push(group.per_second.map_or_else(String::new, |rate| format!("{rate:?}")));
            for field in &group.fields {
                row.extend(self.columns.iter().map(|column| column.json(field).unwrap_or_default()));
            }
            row.extend(group.fields.iter().map(|field| self.inexact(field).collect::<Vec<_>>().join(" ")));
            text.push_str(&csv_line(row));
        }
        text
    }
}

/// A key for people: strings as they are.
fn spelled(key: &GroupKey) -> String {
    match key {
        GroupKey::Value(value) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        key => key.to_string(),
    }
}

/// Text of records for a terminal, which is to take none of it for orders, nor a table for lines.
fn shown(text: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => character.escape_unicode().to_string(),
        false => character.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A number as JSON has it; `None` for infinities.
fn number(value: &Value) -> Option<String> {
    let text = value.to_string();
    (!text.ends_with("inf")).then_some(text)
}

/// Any value as JSON has it.
fn json(value: &Value) -> String {
    match value.as_str() {
        Some(_) => value.to_string(),
        None => number(value).unwrap_or_else(|| "null".to_owned()),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A number with three digits behind the point, or four that count where it is small.
fn rounded(number: f64) -> String {
    if number != 0.0 && number.abs() < 0.01 { format!("{number:.3e}") } else { format!("{number:.3}") }
}

/// A line of comma-separated values, as RFC 4180 has them but for the line's end.
fn csv_line(cells: Vec<String>) -> String {
    let cell = |text: String| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    };
    let mut line = cells.into_iter().map(cell).collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_commas_and_quotes_are_quoted() {
        assert_eq!(csv_line(vec!["a".into(), "b,c".into(), "d\"e".into()]), "a,\"b,c\",\"d\"\"e\"\n");
    }

    #[test]
    fn keys_give_a_terminal_no_orders() {
        assert_eq!(shown("é \u{1b}[2J\n\u{9b}"), "é \\u{1b}[2J\\u{a}\\u{9b}");
    }

    #[test]
    fn numbers_are_short_for_people() {
        assert_eq!(rounded(0.0), "0.000");
        assert_eq!(rounded(119.98234), "119.982");
        assert_eq!(rounded(0.00012345), "1.234e-4");
    }
}
