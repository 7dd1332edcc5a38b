//! The reading thread, and what it sends.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::lines::{Cut, cut};
use super::source::{Meter, Source};
use crate::failure::{Failure, Result};

/// Pieces that may wait between the reading thread and who appends.
const PIECES_MAX: usize = 4;

/// What arrives from the inputs, in order.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The input with this index begins.
    Begin(usize),
    /// Whole lines, with their ends.
    Lines(Vec<u8>),
    /// A part of a line that is too long.
    Oversize {
        /// The part.
        bytes: Vec<u8>,
        /// Whether the line ends with it.
        is_last: bool,
    },
    /// An input can't be read on; nothing follows.
    Failed(Failure),
}

/// The inputs as they are read.
pub(crate) struct Stream {
    /// Disconnected when everything has been sent.
    pub(crate) pieces: Receiver<Piece>,
    /// How far the reading is.
    pub(crate) meter: Arc<Meter>,
}

/// Starts reading `sources`, one after the other, on a thread of its own. The thread ends with the inputs, or soon after
/// the stream is dropped; one that is blocked on stdin ends with the process.
pub(crate) fn spawn(sources: Vec<Source>) -> Result<Stream> {
    let meter = Arc::new(Meter::default());
    let (sender, pieces) = sync_channel(PIECES_MAX);
    let for_thread = Arc::clone(&meter);
    thread::Builder::new()
        .name("annals-input".to_owned())
        .spawn(move || read_all(&sources, &for_thread, &sender))
        .map_err(|error| Failure::Failed(format!("cannot start a thread to read the input: {error}")))?;
    Ok(Stream { pieces, meter })
}

fn read_all(sources: &[Source], meter: &Arc<Meter>, sender: &SyncSender<Piece>) {
    for (index, source) in sources.iter().enumerate() {
        let mut listening = sender.send(Piece::Begin(index)).is_ok();
        let mut take = |cut| {
            let piece = match cut {
                Cut::Lines(bytes) => Piece::Lines(bytes),
                Cut::Oversize { bytes, is_last } => Piece::Oversize { bytes, is_last },
            };
            listening = sender.send(piece).is_ok();
            listening
        };
        let outcome = source.open(meter).and_then(|plain| {
            let mut plain = skip_bom(plain)?;
            cut(&mut plain, source.is_live(), &mut take)
        });
        if let Err(error) = outcome {
            let _ = sender.send(Piece::Failed(read_failure(source, meter, &error)));
            return;
        }
        if !listening {
            return;
        }
    }
}

/// A byte order mark at the start of a stream says nothing in UTF-8 and is no part of the first line.
fn skip_bom(mut plain: Box<dyn Read + Send>) -> io::Result<impl Read> {
    const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];
    let mut start = Vec::new();
    plain.by_ref().take(BOM.len() as u64).read_to_end(&mut start)?;
    if start == BOM {
        start.clear();
    }
    Ok(io::Cursor::new(start).chain(plain))
}

fn read_failure(source: &Source, meter: &Meter, error: &io::Error) -> Failure {
    let name = source.name();
    if meter.io_failed() {
        return Failure::Failed(format!("cannot read {name}: {error}"));
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            Failure::Failed(format!("cannot open {name}: {error}"))
        }
        io::ErrorKind::UnexpectedEof => Failure::BadInput(format!(
            "{name} is compressed and ends too early: it was cut off, or is still being written ({error})"
        )),
        _ => Failure::BadInput(format!("{name} can't be decompressed: {error}")),
    }
}
