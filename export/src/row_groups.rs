//! Batches of rows to row groups.

use crate::ExportOptions;
use crate::encodings::{Levels, fitting};
use crate::lanes::Lanes;
use crate::output::Output;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::Result;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// The row groups of one file, one after the other.
#[derive(Debug)]
pub(crate) struct RowGroups {
    schema: SchemaDescriptor,
    /// What all row groups have in common.
    properties: WriterPropertiesPtr,
    levels: Levels,
    lanes: Lanes,
    output: Output,
    /// Rows of the row group that was begun; always fewer than `rows_max`.
    rows: usize,
    rows_max: usize,
    bytes_max: usize,
}

impl RowGroups {
    pub(crate) fn new(
        file: File,
        schema: &SchemaRef,
        properties: WriterProperties,
        levels: Levels,
        options: &ExportOptions,
    ) -> Result<Self> {
        let (file, _) =
            ArrowWriter::try_new(file, SchemaRef::clone(schema), Some(properties))?.into_serialized_writer()?;
        Ok(Self {
            schema: file.schema_descr().clone(),
            properties: Arc::clone(file.properties()),
            levels,
            lanes: Lanes::new(options.threads())?,
            output: Output::new(file)?,
            rows: 0,
            rows_max: options.row_group_rows,
            bytes_max: options.row_group_bytes,
        })
    }

    /// How many rows there is room for in the row group.
    pub(crate) fn room(&self) -> usize {
        self.rows_max - self.rows
    }

    /// Adds a batch, which has no more rows than there is room for.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.rows == 0 {
            self.lanes.begin(self.column_writers(batch)?);
        }
        let mut leaves = Vec::new();
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            leaves.extend(compute_leaves(field, column)?);
        }
        self.rows += batch.num_rows();
        let bytes = self.lanes.push(leaves)?;
        if self.room() == 0 || bytes > self.bytes_max { self.end_row_group() } else { Ok(()) }
    }

    /// The file, with all row groups and without its end.
    pub(crate) fn finish(mut self) -> Result<SerializedFileWriter<File>> {
        self.end_row_group()?;
        self.output.finish()
    }

    fn column_writers(&self, first: &RecordBatch) -> Result<Vec<ArrowColumnWriter>> {
        let properties = fitting(&self.properties, self.levels, &self.schema, first);
        // Only from a file can properties be had; this one is nowhere.
        let nowhere = SerializedFileWriter::new(io::sink(), self.schema.root_schema_ptr(), Arc::new(properties))?;
        // The number of the row group matters only where files are encrypted.
        ArrowRowGroupWriterFactory::new(&nowhere, first.schema()).create_column_writers(0)
    }

    fn end_row_group(&mut self) -> Result<()> {
        match std::mem::take(&mut self.rows) {
            0 => Ok(()),
            _ => self.output.push(self.lanes.finish()?),
        }
    }
}
