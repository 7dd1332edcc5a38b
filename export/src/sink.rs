//! From any source of records to any sink.

use crate::ExportError;

/// What takes records in ascending order of seq.
pub trait RecordSink {
    /// Takes one record: its seq, its timestamp in µs since the epoch, its MessagePack body.
    ///
    /// # Errors
    /// The record could not be written; the export is then over.
    fn push(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError>;
}

/// What takes the records of several streams: those of one after those of the other, each in ascending order of seq.
/// [`crate::ExportOptions::with_stream`] has to be set.
pub trait StreamSink: RecordSink {
    /// Begins a stream: the records that follow are its. Streams come in the order of their names, in bytes; one may have no
    /// records.
    ///
    /// # Errors
    /// [`ExportError::StreamOrder`] or [`ExportError::StreamNotPlanned`]; the export is then over.
    fn begin_stream(&mut self, stream: &str) -> Result<(), ExportError>;
}

/// Why [`copy`] stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError<E: std::error::Error + 'static> {
    /// The source of the records failed.
    #[error("could not read the next record")]
    Source(#[source] E),
    /// The sink failed.
    #[error(transparent)]
    Sink(#[from] ExportError),
}

/// Pushes every record of `records`, each (seq, timestamp in µs, body), and returns how many there were.
///
/// # Errors
/// The first error of either side.
pub fn copy<B: AsRef<[u8]>, E: std::error::Error + 'static>(
    records: impl IntoIterator<Item = Result<(u64, i64, B), E>>,
    sink: &mut impl RecordSink,
) -> Result<u64, CopyError<E>> {
    let mut count = 0;
    for record in records {
        let (seq, timestamp_us, body) = record.map_err(CopyError::Source)?;
        sink.push(seq, timestamp_us, body.as_ref())?;
        count += 1;
    }
    Ok(count)
}
