//! arrow-json: from NDJSON to Parquet by Arrow's own reader and writer, in Rust.

use super::{Contender, Exported, Facts};
use crate::Result;
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema_from_seekable;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// arrow-json.
#[derive(Debug)]
pub(super) struct ArrowJson;

impl Contender for ArrowJson {
    fn facts(&self) -> Facts {
        Facts {
            package: Some("arrow-json"),
            encoding: crate::items::Encoding::Json,
            export: Some(
                "from the same events as an NDJSON file; a schema inferred from all lines first; zstd level 3",
            ),
            ..Facts::new("arrow-json")
        }
    }

    fn export(&self, _store: &Path, ndjson: &Path, out: &Path) -> Result<Exported> {
        let begun = Instant::now();
        let mut input = BufReader::new(File::open(ndjson)?);
        let (schema, _) = infer_json_schema_from_seekable(&mut input, None)?;
        let schema = Arc::new(schema);
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
        let mut writer = ArrowWriter::try_new(File::create(out)?, Arc::clone(&schema), Some(properties))?;
        for batch in ReaderBuilder::new(schema).with_batch_size(8_192).build(input)? {
            writer.write(&batch?)?;
        }
        writer.close()?;
        Ok(Exported { seconds: begun.elapsed().as_secs_f64(), anonymous_bytes_max: None })
    }
}
