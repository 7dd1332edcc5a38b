//! The header of a frame: the unit of append, of checksum and of atomicity. docs/format.md, "Frame".

use crate::checksum::Salt;
use crate::raw::entry::ENTRY_HEADER_BYTES;
use crate::{Incarnation, Timestamp};

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 72;
/// Frames begin at multiples of this many bytes; the gap after a payload holds zeros.
pub(crate) const FRAME_ALIGN: u64 = 8;
/// Largest frame, its header included, in bytes.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
/// Seqs stay below this, so that they fit signed 64-bit columns everywhere.
pub(crate) const SEQ_LIMIT: u64 = 1 << 63;

/// The bytes every frame begins with.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"aFrm";

const KIND_AT: usize = FRAME_MAGIC.len();
const FLAGS_AT: usize = KIND_AT + 1;
const RESERVED_AT: usize = FLAGS_AT + 1;
const PAYLOAD_LEN_AT: usize = RESERVED_AT + 2;
const COUNT_AT: usize = PAYLOAD_LEN_AT + 4;
const FIRST_SEQ_AT: usize = COUNT_AT + 4;
const WATERMARK_AT: usize = FIRST_SEQ_AT + 8;
const INCARNATION_AT: usize = WATERMARK_AT + 8;
const TIME_MIN_AT: usize = INCARNATION_AT + 16;
const TIME_MAX_AT: usize = TIME_MIN_AT + 8;
const PAYLOAD_CRC_AT: usize = TIME_MAX_AT + 8;
const CRC_AT: usize = PAYLOAD_CRC_AT + 4;
const _: () = assert!(CRC_AT + 4 == FRAME_HEADER_BYTES);
const _: () = assert!((FRAME_HEADER_BYTES as u64).is_multiple_of(FRAME_ALIGN));

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// Records.
    Data = 1,
    /// Nothing: its payload is zeros.
    Pad = 2,
    /// No records; its header tells what has become durable.
    Watermark = 3,
    /// The segment ends here, and everything in it is durable.
    Close = 4,
}

impl FrameKind {
    fn from_u8(byte: u8) -> Option<Self> {
        [Self::Data, Self::Pad, Self::Watermark, Self::Close].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The header of a frame, decoded and found consistent in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    pub(crate) payload_len: u32,
    pub(crate) count: u32,
    /// The seq of the first record; of the next record to come, where the frame holds none.
    pub(crate) first_seq: u64,
    /// Everything below this seq was durable before the frame was written.
    pub(crate) watermark: u64,
    pub(crate) incarnation: Incarnation,
    pub(crate) time_min: Timestamp,
    pub(crate) time_max: Timestamp,
    pub(crate) payload_crc: u32,
}

/// Why bytes are not the header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Not the magic: no frame begins here.
    NotAFrame,
    /// The header doesn't match its checksum.
    BadChecksum,
    /// The checksum holds, but the fields contradict each other.
    Inconsistent(&'static str),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAFrame => f.write_str("no frame begins here"),
            Self::BadChecksum => f.write_str("a frame header that does not match its checksum"),
            Self::Inconsistent(what) => write!(f, "a frame header that contradicts itself: {what}"),
        }
    }
}

impl FrameHeader {
    /// A frame without records.
    pub(crate) fn empty(kind: FrameKind, next_seq: u64, watermark: u64, incarnation: Incarnation, salt: Salt) -> Self {
        Self {
            kind,
            payload_len: 0,
            count: 0,
            first_seq: next_seq,
            watermark,
            incarnation,
            time_min: Timestamp::from_micros(0),
            time_max: Timestamp::from_micros(0),
            payload_crc: salt.checksum(&[]),
        }
    }

    pub(crate) fn encode(&self, salt: Salt) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..KIND_AT].copy_from_slice(&FRAME_MAGIC);
        bytes[KIND_AT] = self.kind as u8;
        bytes[PAYLOAD_LEN_AT..COUNT_AT].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[COUNT_AT..FIRST_SEQ_AT].copy_from_slice(&self.count.to_le_bytes());
        bytes[FIRST_SEQ_AT..WATERMARK_AT].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[WATERMARK_AT..INCARNATION_AT].copy_from_slice(&self.watermark.to_le_bytes());
        bytes[INCARNATION_AT..TIME_MIN_AT].copy_from_slice(&self.incarnation.0);
        bytes[TIME_MIN_AT..TIME_MAX_AT].copy_from_slice(&self.time_min.as_micros().to_le_bytes());
        bytes[TIME_MAX_AT..PAYLOAD_CRC_AT].copy_from_slice(&self.time_max.as_micros().to_le_bytes());
        bytes[PAYLOAD_CRC_AT..CRC_AT].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = salt.checksum(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_BYTES], salt: Salt) -> Result<Self, FrameError> {
        if bytes[..KIND_AT] != FRAME_MAGIC {
            return Err(FrameError::NotAFrame);
        }
        if salt.checksum(&bytes[..CRC_AT]) != u32::from_le_bytes(array(bytes, CRC_AT)) {
            return Err(FrameError::BadChecksum);
        }
        let kind = FrameKind::from_u8(bytes[KIND_AT]).ok_or(FrameError::Inconsistent("unknown kind of frame"))?;
        if bytes[FLAGS_AT..PAYLOAD_LEN_AT] != [0; 3] {
            return Err(FrameError::Inconsistent("unknown flags"));
        }
        let header = Self {
            kind,
            payload_len: u32::from_le_bytes(array(bytes, PAYLOAD_LEN_AT)),
            count: u32::from_le_bytes(array(bytes, COUNT_AT)),
            first_seq: u64::from_le_bytes(array(bytes, FIRST_SEQ_AT)),
            watermark: u64::from_le_bytes(array(bytes, WATERMARK_AT)),
            incarnation: Incarnation(array(bytes, INCARNATION_AT)),
            time_min: Timestamp::from_micros(i64::from_le_bytes(array(bytes, TIME_MIN_AT))),
            time_max: Timestamp::from_micros(i64::from_le_bytes(array(bytes, TIME_MAX_AT))),
            payload_crc: u32::from_le_bytes(array(bytes, PAYLOAD_CRC_AT)),
        };
        header.check()?;
        Ok(header)
    }

    /// The salt of the file that a frame's header would belong to, were it sound.
    pub(super) fn salt_told(bytes: &[u8; FRAME_HEADER_BYTES]) -> Salt {
        Salt::that_gives(u32::from_le_bytes(array(bytes, CRC_AT)), &bytes[..CRC_AT])
    }

    fn check(&self) -> Result<(), FrameError> {
        let (count, payload_len) = (u64::from(self.count), u64::from(self.payload_len));
        if self.frame_bytes() > FRAME_BYTES_MAX as u64 {
            return Err(FrameError::Inconsistent("larger than a frame may be"));
        }
        if self.first_seq.checked_add(count).is_none_or(|end| end > SEQ_LIMIT) {
            return Err(FrameError::Inconsistent("seqs beyond the limit"));
        }
        if self.watermark > self.first_seq {
            return Err(FrameError::Inconsistent("a watermark above its own records"));
        }
        let consistent = match self.kind {
            FrameKind::Data => count > 0 && payload_len >= count * ENTRY_HEADER_BYTES as u64,
            FrameKind::Pad => count == 0,
            FrameKind::Watermark | FrameKind::Close => count == 0 && payload_len == 0,
        };
        match consistent {
            true => Ok(()),
            false => Err(FrameError::Inconsistent("its lengths don't fit its kind")),
        }
    }

    /// The seq after the frame's records.
    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }

    /// Bytes of the frame, from its header to where the next begins.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_len as usize)
    }
}

/// Bytes that a frame with a payload of `payload_len` bytes takes, up to where the next begins.
pub(crate) fn frame_bytes(payload_len: usize) -> u64 {
    ((FRAME_HEADER_BYTES + payload_len) as u64).next_multiple_of(FRAME_ALIGN)
}

fn array<const N: usize>(bytes: &[u8; FRAME_HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileId;
    use proptest::prelude::*;

    fn salt() -> Salt {
        Salt::of(FileId([3; 16]))
    }

    fn header() -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Data,
            payload_len: 100,
            count: 2,
            first_seq: 40,
            watermark: 38,
            incarnation: Incarnation([5; 16]),
            time_min: Timestamp::from_micros(-1),
            time_max: Timestamp::from_micros(1),
            payload_crc: 77,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        assert_eq!(FrameHeader::decode(&header().encode(salt()), salt()), Ok(header()));
    }

    proptest! {
        #[test]
        fn any_header_that_is_sound_comes_back(
            kind in 1u8..=4, count in 1u32..1_000, payload: u16, first_seq in 0..SEQ_LIMIT - 1_000, behind: u64,
            ids: ([u8; 16], [u8; 16]), times: (i64, i64), payload_crc: u32,
        ) {
            let kind = FrameKind::from_u8(kind).unwrap();
            let (count, payload_len) = match kind {
                FrameKind::Data => (count, count * ENTRY_HEADER_BYTES as u32 + u32::from(payload)),
                FrameKind::Pad => (0, payload.into()),
                FrameKind::Watermark | FrameKind::Close => (0, 0),
            };
            let header = FrameHeader {
                kind,
                payload_len,
                count,
                first_seq,
                watermark: first_seq.saturating_sub(behind),
                incarnation: Incarnation(ids.0),
                time_min: Timestamp::from_micros(times.0),
                time_max: Timestamp::from_micros(times.1),
                payload_crc,
            };
            let salt = Salt::of(FileId(ids.1));
            prop_assert_eq!(FrameHeader::decode(&header.encode(salt), salt), Ok(header));
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let good = header().encode(salt());
        for bit in 0..FRAME_HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(&bad, salt()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_frame_in_any_file() {
        for id in 0..=255 {
            let zeros = [0; FRAME_HEADER_BYTES];
            assert_eq!(FrameHeader::decode(&zeros, Salt::of(FileId([id; 16]))), Err(FrameError::NotAFrame));
        }
    }

    #[test]
    fn a_frame_of_another_file_does_not_check() {
        let other = Salt::of(FileId([4; 16]));
        assert_eq!(FrameHeader::decode(&header().encode(other), salt()), Err(FrameError::BadChecksum));
    }

    #[test]
    fn contradictions_are_refused_though_the_checksum_holds() {
        let refused = |change: fn(&mut FrameHeader)| {
            let mut bad = header();
            change(&mut bad);
            matches!(FrameHeader::decode(&bad.encode(salt()), salt()), Err(FrameError::Inconsistent(_)))
        };
        assert!(refused(|h| h.watermark = h.first_seq + 1));
        assert!(refused(|h| h.count = 0));
        assert!(refused(|h| h.count = 6));
        assert!(refused(|h| h.payload_len = u32::MAX));
        assert!(refused(|h| h.first_seq = SEQ_LIMIT - 1));
        assert!(refused(|h| h.first_seq = u64::MAX));
        assert!(refused(|h| h.kind = FrameKind::Close));
    }
}
