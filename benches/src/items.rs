//! What is appended: the synthetic events, or the lines of any NDJSON file.
//!
//! Every contender gets the same items and does the same encoding work: MessagePack maps by the same serializer, except
//! where its facts say that it writes JSON.

use crate::Result;
use crate::workload::{Event, Events};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// One event, and its time.
#[derive(Debug, Clone)]
pub struct Item {
    /// µs since the Unix epoch.
    pub timestamp: i64,
    /// The event.
    pub record: Record,
}

/// An event as the program holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
// Nearly all workloads are of the large kind; a box would be one more memory access for each of its events.
#[allow(clippy::large_enum_variant)]
pub enum Record {
    /// A synthetic audit event.
    Audit(Event),
    /// A line of an NDJSON file.
    Json(serde_json::Value),
}

/// How a contender stores events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A MessagePack map with the names of the fields.
    MessagePack,
    /// JSON text.
    Json,
}

/// Where the items come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Synthetic audit events from this seed.
    Synthetic(u64),
    /// An NDJSON file. Its events are one millisecond apart, whatever they say themselves.
    File(PathBuf),
}

/// When the events of a file begin.
const FILE_EPOCH_US: i64 = 1_760_000_000_000_000;

impl Item {
    /// The event's `request_id`, if it has one.
    pub fn id(&self) -> Option<&str> {
        match &self.record {
            Record::Audit(event) => Some(&event.request_id),
            Record::Json(value) => value.get("request_id")?.as_str(),
        }
    }

    /// Whether it has the fields that aggregates are of: a number `latency_ms` for a text `event_type`.
    pub fn has_aggregates(&self) -> bool {
        match &self.record {
            Record::Audit(_) => true,
            Record::Json(value) => value["event_type"].is_string() && value["latency_ms"].is_number(),
        }
    }
}

impl Source {
    /// The items, one after the other.
    ///
    /// # Errors
    /// The file can't be opened; later, it can't be read, or a line is not JSON.
    pub fn items(&self) -> Result<Box<dyn Iterator<Item = Result<Item>>>> {
        match self {
            Self::Synthetic(seed) => Ok(Box::new(
                Events::new(*seed).map(|event| Ok(Item { timestamp: event.timestamp, record: Record::Audit(event) })),
            )),
            Self::File(path) => {
                let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let lines = BufReader::new(file).lines().filter(|line| line.as_ref().map_or(true, |l| !l.is_empty()));
                Ok(Box::new(lines.enumerate().map(|(index, line)| {
                    let record = Record::Json(serde_json::from_str(&line?)?);
                    Ok(Item { timestamp: FILE_EPOCH_US + index as i64 * 1_000, record })
                })))
            }
        }
    }

    /// The first `count` items, or all if there are fewer.
    ///
    /// # Errors
    /// As [`Source::items`].
    pub fn load(&self, count: u64) -> Result<Vec<Item>> {
        // Exact, so that what is measured later finds no memory that was freed here.
        let mut items = Vec::with_capacity(count as usize);
        for item in self.items()?.take(count as usize) {
            items.push(item?);
        }
        Ok(items)
    }

    /// How many items there are of the `asked` ones.
    ///
    /// # Errors
    /// As [`Source::items`].
    pub fn count(&self, asked: u64) -> Result<u64> {
        match self {
            Self::Synthetic(_) => Ok(asked),
            Self::File(_) => Ok(self.items()?.take(asked as usize).count() as u64),
        }
    }

    /// Mean bytes of the first `count` items as JSON, without line ends, and as MessagePack.
    ///
    /// # Errors
    /// As [`Source::items`].
    pub fn mean_bytes(&self, count: u64) -> Result<(f64, f64)> {
        let (mut items, mut json, mut packed, mut bytes) = (0, 0, 0, Vec::new());
        for item in self.items()?.take(count as usize) {
            let item = item?;
            item.encode_line(&mut bytes)?;
            json += bytes.len() - 1;
            item.encode(&mut bytes)?;
            packed += bytes.len();
            items += 1;
        }
        let mean = |bytes: usize| bytes as f64 / f64::from(items.max(1));
        Ok((mean(json), mean(packed)))
    }

    /// Writes the first `count` items as NDJSON.
    ///
    /// # Errors
    /// As [`Source::items`], and what the operating system says.
    pub fn write_ndjson(&self, count: u64, path: &Path) -> Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        for item in self.items()?.take(count as usize) {
            serde_json::to_writer(&mut out, &item?.record)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(())
    }

    /// Decodes what was stored into a value that owns all of it.
    ///
    /// # Errors
    /// The bytes are not what was stored.
    pub fn decode(&self, encoding: Encoding, bytes: &[u8]) -> Result<Record> {
        Ok(match (self, encoding) {
            (Self::Synthetic(_), Encoding::MessagePack) => Record::Audit(rmp_serde::from_slice(bytes)?),
            (Self::Synthetic(_), Encoding::Json) => Record::Audit(serde_json::from_slice(bytes)?),
            (Self::File(_), Encoding::MessagePack) => Record::Json(rmp_serde::from_slice(bytes)?),
            (Self::File(_), Encoding::Json) => Record::Json(serde_json::from_slice(bytes)?),
        })
    }
}

impl Item {
    /// Replaces what is in `out` by the event as a MessagePack map, as Annals encodes it.
    ///
    /// # Errors
    /// The event can't be encoded.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        self.record.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())?;
        Ok(())
    }

    /// Replaces what is in `out` by the event as a line of JSON.
    ///
    /// # Errors
    /// The event can't be encoded.
    pub fn encode_line(&self, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        serde_json::to_writer(&mut *out, &self.record)?;
        out.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let source = Source::Synthetic(42);
        let mut bytes = Vec::new();
        for item in source.load(100).unwrap() {
            item.encode(&mut bytes).unwrap();
            assert_eq!(source.decode(Encoding::MessagePack, &bytes).unwrap(), item.record);
            item.encode_line(&mut bytes).unwrap();
            assert_eq!(source.decode(Encoding::Json, &bytes).unwrap(), item.record);
        }
    }

    #[test]
    fn a_file_is_a_workload_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines.ndjson");
        std::fs::write(&path, "{\"a\":1}\n\n{\"b\":[1.5,null]}\n").unwrap();
        let source = Source::File(path);
        let items = source.load(10).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(source.count(1).unwrap(), 1);
        let mut bytes = Vec::new();
        items[1].encode(&mut bytes).unwrap();
        assert_eq!(source.decode(Encoding::MessagePack, &bytes).unwrap(), items[1].record);
    }

    #[test]
    fn events_have_the_sizes_that_the_pages_name() {
        let (json, packed) = Source::Synthetic(42).mean_bytes(20_000).unwrap();
        assert_eq!((json.round(), packed.round()), (436.0, 381.0));
    }
}
