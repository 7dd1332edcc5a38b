//! The cells of `_stream`: a dictionary of the names that a batch has, and for each row which.

use arrow::array::{ArrayRef, DictionaryArray, Int32Builder, StringBuilder};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct StreamNames {
    /// Those that rows have since the last [`StreamNames::take`]; the rows of one follow each other.
    names: StringBuilder,
    /// How many these are.
    count: i32,
    rows: Int32Builder,
    current: String,
    /// Whether the last of `names` is `current`.
    is_named: bool,
}

impl StreamNames {
    pub(crate) fn new() -> Self {
        let (names, rows) = (StringBuilder::with_capacity(0, 0), Int32Builder::with_capacity(0));
        Self { names, count: 0, rows, current: String::new(), is_named: false }
    }

    /// The rows from here on are those of this stream.
    pub(crate) fn begin(&mut self, stream: &str) {
        stream.clone_into(&mut self.current);
        self.is_named = false;
    }

    /// Adds a row. A batch has so few that they can be counted.
    pub(crate) fn push(&mut self) {
        if !self.is_named {
            self.names.append_value(&self.current);
            (self.count, self.is_named) = (self.count + 1, true);
        }
        self.rows.append_value(self.count - 1);
    }

    /// The cells since the last time.
    pub(crate) fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        (self.count, self.is_named) = (0, false);
        let names = Arc::new(self.names.finish());
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(self.rows.finish(), names)?))
    }
}
