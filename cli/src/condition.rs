//! Which records by what is in them: `--where CONDITION`.

use annals::{Condition, FieldPath, Options, Query, ScanRange};

/// The option that selects records by a condition.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WhereArgs {
    /// Only records for which this holds, such as 'status = "failed" and not exists(user.name)'; given more than once, all
    /// of them
    #[arg(long = "where", value_name = "CONDITION", value_parser = parse_condition)]
    conditions: Vec<Condition>,
}

impl WhereArgs {
    /// Whether no record is left out.
    pub(crate) fn is_all(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The records in `range` for which the conditions hold.
    pub(crate) fn query(&self, range: ScanRange) -> Query {
        self.conditions.iter().cloned().fold(Query::over(range), Query::filter)
    }

    /// All conditions as one, if there are any.
    pub(crate) fn condition(&self) -> Option<Condition> {
        self.conditions.iter().cloned().reduce(Condition::and)
    }
}

/// The option that names fields to be indexed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IndexArgs {
    /// Index this field of the segments of the log, from now on and in place of those indexed so far; given more than once, all
    /// of them. `annals index` adds fields and drops them
    #[arg(long = "index", value_name = "PATH", value_parser = parse_path)]
    fields: Vec<FieldPath>,
}

impl IndexArgs {
    /// The same options, with these fields if there are any.
    pub(crate) fn apply(&self, options: Options) -> Options {
        if self.fields.is_empty() { options } else { options.index_fields(self.fields.iter().cloned()) }
    }
}

/// Reads a path.
pub(crate) fn parse_path(text: &str) -> Result<FieldPath, String> {
    text.parse().map_err(|error: annals::ConditionError| error.to_string())
}

/// Reads a condition, or says what is wrong with it and where.
pub(crate) fn parse_condition(text: &str) -> Result<Condition, String> {
    text.parse::<Condition>().map_err(|error| {
        let marker = " ".repeat(error.column.saturating_sub(1));
        match text.contains(char::is_control) || error.column > 200 {
            true => error.to_string(),
            false => format!("{error}\n\n  {text}\n  {marker}^"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_points_at_its_column() {
        let error = parse_condition("a = 1 nor b = 2").unwrap_err();
        assert!(error.starts_with("column 7: ") && error.ends_with("\n  a = 1 nor b = 2\n        ^"), "{error}");
    }
}
