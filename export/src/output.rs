//! Finished row groups into the file, by a thread of their own: encoding goes on while the disk works.

use parquet::arrow::arrow_writer::ArrowColumnChunk;
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;
use std::fs::File;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// After so many bytes the file is synced, so that little is left to do at the end.
const SYNC_BYTES: usize = 8 << 20;

type RowGroup = Vec<ArrowColumnChunk>;

/// See the module. Dropped, it waits for its thread.
#[derive(Debug)]
pub(crate) struct Output {
    /// `None` at the end. A row group is handed over, never left waiting: so there are at most two.
    row_groups: Option<SyncSender<RowGroup>>,
    thread: Option<JoinHandle<Result<SerializedFileWriter<File>>>>,
}

impl Output {
    pub(crate) fn new(file: SerializedFileWriter<File>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(0);
        let thread = thread::Builder::new().name("annals-parquet".to_owned()).spawn(|| write_all(file, receiver))?;
        Ok(Self { row_groups: Some(sender), thread: Some(thread) })
    }

    /// Hands over a row group, once the one before has been written.
    pub(crate) fn push(&mut self, row_group: RowGroup) -> Result<()> {
        let sent = self.row_groups.as_ref().is_some_and(|row_groups| row_groups.send(row_group).is_ok());
        if sent { Ok(()) } else { self.finish().and(Err(over())) }
    }

    /// The file, with all row groups. The second time it fails.
    pub(crate) fn finish(&mut self) -> Result<SerializedFileWriter<File>> {
        self.row_groups = None;
        let outcome = self.thread.take().map(JoinHandle::join);
        outcome.and_then(std::result::Result::ok).unwrap_or_else(|| Err(over()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Nobody asks for the file any more.
        let _ = self.finish();
    }
}

fn over() -> ParquetError {
    ParquetError::General("the thread that writes the file has ended".to_owned())
}

fn write_all(
    mut file: SerializedFileWriter<File>,
    row_groups: Receiver<RowGroup>,
) -> Result<SerializedFileWriter<File>> {
    let mut synced = 0;
    for row_group in row_groups {
        let mut writer = file.next_row_group()?;
        for chunk in row_group {
            chunk.append_to_row_group(&mut writer)?;
        }
        writer.close()?;
        if file.bytes_written() - synced >= SYNC_BYTES {
            file.flush()?;
            file.inner().sync_data()?;
            synced = file.bytes_written();
        }
    }
    Ok(file)
}
