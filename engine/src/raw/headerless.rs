//! Reading frames of a file whose header is lost: all that the header is needed for is the file's salt, and every frame
//! tells it twice.

use crate::checksum::Salt;
use crate::raw::frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};
use crate::raw::scan::{Found, Scanner};
use crate::raw::window::Window;
use crate::storage::File;
use std::io;

/// The salt of the frames in `file` from `from` on, if any of them is intact. A frame's header gives a salt by its
/// checksum, whatever its bytes; that is believed if the frame's payload has the checksums that go with it.
pub(crate) fn find_salt(file: &dyn File, from: u64) -> io::Result<Option<Salt>> {
    let len = file.len()?;
    let mut window = Window::new(file, len);
    let mut at = from;
    while at < len {
        let bytes = window.bytes(at, FRAME_HEADER_BYTES)?;
        if let Some(bytes) = bytes.first_chunk::<FRAME_HEADER_BYTES>()
            && bytes.starts_with(&FRAME_MAGIC)
        {
            let salt = FrameHeader::salt_told(bytes);
            if let Found::Intact(_) = Scanner::new(file, len, salt).frame_at(at, 0, true)? {
                return Ok(Some(salt));
            }
        }
        at += FRAME_ALIGN;
    }
    Ok(None)
}
