//! Records into batches: every top-level pair to its column, or to `_extra`.

use crate::Plan;
use crate::cells::{CellError, Cells};
use crate::keys::Keys;
use crate::schema::timestamp_type;
use crate::stream_names::StreamNames;
use annals::msgpack::{MsgPackError, Reader, Token};
use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::error::ArrowError;
use std::sync::Arc;

/// A batch ends after so many cells, counting those that are NULL, …
const BATCH_CELLS: usize = 1 << 19;
/// … after so many rows, …
const BATCH_ROWS: usize = 4096;
/// … or after so many bytes of bodies.
const BATCH_BYTES: usize = 3 << 19;

/// The batch being built.
#[derive(Debug)]
pub(crate) struct Rows {
    plan: Plan,
    keys: Keys,
    columns: Vec<Cells>,
    streams: StreamNames,
    seqs: Int64Builder,
    times: TimestampMicrosecondBuilder,
    extra: Extra,
    extras: StringBuilder,
    jsons: StringBuilder,
    text: Vec<u8>,
    rows: usize,
    rows_max: usize,
    bytes: usize,
    pub(crate) extra_values: u64,
}

impl Rows {
    pub(crate) fn new(plan: &Plan) -> Self {
        let fields = plan.arrow_schema().fields();
        let fields = &fields[plan.own_columns()..];
        let columns = plan.columns().iter().zip(fields).map(|(column, field)| Cells::new(column, field, &[]));
        Self {
            keys: Keys::new(plan.columns().iter().map(|column| column.key.as_str())),
            columns: columns.collect(),
            streams: StreamNames::new(),
            seqs: Int64Builder::new(),
            times: TimestampMicrosecondBuilder::new().with_data_type(timestamp_type()),
            extra: Extra::default(),
            extras: StringBuilder::new(),
            jsons: StringBuilder::new(),
            text: Vec::new(),
            rows: 0,
            rows_max: (BATCH_CELLS / (plan.leaves() + 4)).clamp(64, BATCH_ROWS),
            bytes: 0,
            extra_values: 0,
            plan: plan.clone(),
        }
    }

    pub(crate) fn columns(&self) -> &[Cells] {
        &self.columns
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many rows there are since the last [`Rows::take`].
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= self.rows_max || self.bytes >= BATCH_BYTES
    }

    /// The records from here on are those of this stream.
    pub(crate) fn begin_stream(&mut self, stream: &str) {
        self.streams.begin(stream);
    }

    /// Adds one record. After an error the batch is of no use.
    pub(crate) fn push(&mut self, seq: i64, timestamp_us: i64, body: &[u8]) -> Result<(), CellError> {
        let mut reader = Reader::new(body);
        if !reader.peek_is_map() {
            return Err(MsgPackError::NotAMap.into());
        }
        let Token::Map(pairs) = reader.token()? else { return Err(MsgPackError::NotAMap.into()) };
        self.keys.rewind();
        self.extra.clear();
        for _ in 0..pairs {
            self.push_pair(body, &mut reader)?;
        }
        reader.finish()?;
        if self.plan.has_stream() {
            self.streams.push();
        }
        self.seqs.append_value(seq);
        self.times.append_value(timestamp_us);
        if self.plan.has_extra() {
            self.extras.append_option(self.extra.text()?);
            self.extra_values += self.extra.count;
        }
        if self.plan.has_json() {
            self.text.clear();
            annals::json::to_json(body, &mut self.text)?;
            self.jsons.append_value(utf8(&self.text)?);
        }
        self.rows += 1;
        self.bytes += body.len();
        Ok(())
    }

    fn push_pair(&mut self, body: &[u8], reader: &mut Reader<'_>) -> Result<(), CellError> {
        let at_pair = reader.clone();
        let column = match self.keys.skip_next(reader) {
            Some(column) => Some(column),
            None => match reader.clone().token()? {
                Token::Str(key) => {
                    reader.token()?;
                    self.keys.find(key)
                }
                _ => {
                    reader.skip_value()?;
                    None
                }
            },
        };
        match column.map(|column| &mut self.columns[column]) {
            Some(cells) if cells.len() <= self.rows => cells.put(self.rows, reader, &mut self.extra),
            _ => self.push_extra(body, at_pair, reader),
        }
    }

    /// A pair whose key has no column, or has a value already.
    #[cold]
    fn push_extra(&mut self, body: &[u8], mut at_pair: Reader<'_>, reader: &mut Reader<'_>) -> Result<(), CellError> {
        let (start, value) = (at_pair.offset(), reader.offset());
        reader.skip_value()?;
        if self.plan.has_extra() {
            return Ok(self.extra.push_pair(&body[start..value], &body[value..reader.offset()])?);
        }
        let key = match at_pair.token()? {
            Token::Str(key) => key,
            _ => "(key that is not a string)",
        };
        Err(CellError::DoesNotFit(format!("/{key}")))
    }

    /// The batch; begins the next.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut arrays: Vec<ArrayRef> = Vec::new();
        if self.plan.has_stream() {
            arrays.push(self.streams.take()?);
        }
        arrays.extend([Arc::new(self.seqs.finish()) as ArrayRef, Arc::new(self.times.finish())]);
        for cells in &mut self.columns {
            arrays.push(cells.take(rows)?);
        }
        if self.plan.has_extra() {
            arrays.push(Arc::new(self.extras.finish()));
        }
        if self.plan.has_json() {
            arrays.push(Arc::new(self.jsons.finish()));
        }
        RecordBatch::try_new(self.plan.arrow_schema().clone(), arrays)
    }
}

fn utf8(text: &[u8]) -> Result<&str, MsgPackError> {
    std::str::from_utf8(text).map_err(|_| MsgPackError::NotUtf8 { offset: 0 })
}

/// The cell of `_extra`: a JSON array of `[key, value]`, or `[[key, …], value]` for a value from inside a struct.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    text: Vec<u8>,
    count: u64,
}

impl Extra {
    fn clear(&mut self) {
        self.text.clear();
        self.count = 0;
    }

    fn text(&mut self) -> Result<Option<&str>, MsgPackError> {
        if self.count == 0 {
            return Ok(None);
        }
        self.text.push(b']');
        utf8(&self.text).map(Some)
    }

    fn push_pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), MsgPackError> {
        self.begin();
        annals::json::to_json(key, &mut self.text)?;
        self.end(value)
    }

    /// Adds the value of a column whose forced type it does not have.
    pub(crate) fn push_path(&mut self, path: &[Option<String>], value: &[u8]) -> Result<(), MsgPackError> {
        self.begin();
        let keys: serde_json::Value = match path {
            [Some(key)] => key.as_str().into(),
            keys => keys.iter().cloned().collect(),
        };
        self.text.extend_from_slice(keys.to_string().as_bytes());
        self.end(value)
    }

    fn begin(&mut self) {
        self.text.extend_from_slice(if self.count == 0 { b"[[" } else { b",[" });
        self.count += 1;
    }

    fn end(&mut self, value: &[u8]) -> Result<(), MsgPackError> {
        self.text.push(b',');
        annals::json::to_json(value, &mut self.text)?;
        self.text.push(b']');
        Ok(())
    }
}
