//! Reading frames of a file whose header is lost: all that the header is needed for is the file's salt, and every frame
//! tells it twice.

use crate::checksum::Salt;
use crate::raw::frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};
use crate::raw::header::{DATA_START, read_header};
use crate::raw::scan::{Found, Scan, Scanner, records_max_in};
use crate::raw::window::Window;
use crate::storage::File;
use std::io;

/// How many times the length of a file is read at most to find a frame in it.
const READ_TIMES_MAX: u64 = 16;

/// The salt of the frames in `file` from `from` on, if any of them is intact. A frame's header gives a salt by its
/// checksum, whatever its bytes; that is believed if the frame's payload has the checksums that go with it.
pub(crate) fn find_salt(file: &dyn File, from: u64) -> io::Result<Option<Salt>> {
    let len = file.len()?;
    let mut window = Window::new(file, len);
    let mut at = from;
    // Any bytes give a salt, and may tell of a frame of any length: hostile ones would be read again and again.
    let mut budget = len.saturating_mul(READ_TIMES_MAX);
    while at < len {
        let bytes = window.bytes(at, FRAME_HEADER_BYTES)?;
        if let Some(bytes) = bytes.first_chunk::<FRAME_HEADER_BYTES>()
            && bytes.starts_with(&FRAME_MAGIC)
        {
            let salt = FrameHeader::salt_told(bytes);
            let told = FrameHeader::decode(bytes, salt).map_or(0, |header| header.frame_bytes().min(len - at));
            let Some(left) = budget.checked_sub(told) else { return Ok(None) };
            budget = left;
            if let Found::Intact(_) = Scanner::new(file, len, salt).frame_at(at, 0, true)? {
                return Ok(Some(salt));
            }
        }
        at += FRAME_ALIGN;
    }
    Ok(None)
}

/// How many records a raw segment with the base `base_seq` can have held, whose header can't be read or is that of
/// another file.
pub(crate) fn records_max(file: &dyn File, base_seq: u64) -> io::Result<u64> {
    let len = file.len()?;
    let is_foreign = read_header(file)?.is_ok();
    let Some(salt) = find_salt(file, DATA_START)?.filter(|_| !is_foreign) else {
        let mut window = Window::new(file, len.min(u64::from(u32::MAX)));
        let end = window.end_of_data(DATA_START)?;
        return records_max_in(&mut window, DATA_START, end);
    };
    let mut scan = Scan::new(base_seq);
    Scanner::new(file, len, salt).run(&mut scan, u64::MAX)?;
    Ok(scan.end_seq() - base_seq + scan.bad.last().map_or(0, |bad| bad.records_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::frame::FrameKind;
    use crate::{FileId, Incarnation};

    /// A file in memory.
    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl File for Bytes {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn reserve(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
    }

    #[test]
    fn an_intact_frame_tells_the_salt_and_a_damaged_one_does_not() {
        let salt = Salt::of(FileId([9; 16]));
        let frame = FrameHeader::empty(FrameKind::Watermark, 7, 7, Incarnation([1; 16]), salt).encode(salt);
        let mut bytes = vec![0xee; 64];
        bytes.extend(frame);
        assert_eq!(find_salt(&Bytes(bytes.clone()), 0).unwrap(), Some(salt));
        assert_eq!(find_salt(&Bytes(bytes.clone()), 72).unwrap(), None, "it begins before");
        for at in 64..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(find_salt(&Bytes(damaged), 0).unwrap(), None, "byte {at}");
        }
    }

    #[test]
    fn headers_that_tell_of_long_frames_are_not_followed_for_ever() {
        let salt = Salt::of(FileId([9; 16]));
        let mut header = FrameHeader::empty(FrameKind::Pad, 0, 0, Incarnation([1; 16]), salt);
        header.payload_len = 1 << 20;
        let bytes: Vec<u8> = header.encode(salt).repeat((4 << 20) / FRAME_HEADER_BYTES);
        let begun = std::time::Instant::now();
        assert_eq!(find_salt(&Bytes(bytes), 0).unwrap(), None);
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }
}
