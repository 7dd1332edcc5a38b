//! The head: how far the writer has come, told to readers in other processes. docs/format.md, "Head".
//!
//! It is written after every commit and never synced. It is no evidence about the log: recovery doesn't read it, and
//! a reader believes it only while the machine and the writer that wrote it are still running.

use crate::Incarnation;

/// Bytes of the head file.
pub(crate) const HEAD_BYTES: usize = 72;

const MAGIC: [u8; 4] = *b"aHed";

const FLAGS_AT: usize = MAGIC.len();
const DURABLE_SEQ_AT: usize = FLAGS_AT + 4;
const WRITTEN_SEQ_AT: usize = DURABLE_SEQ_AT + 8;
const ORDINAL_AT: usize = WRITTEN_SEQ_AT + 8;
const INCARNATION_AT: usize = ORDINAL_AT + 8;
const BOOT_ID_AT: usize = INCARNATION_AT + 16;
const ZERO_AT: usize = BOOT_ID_AT + 16;
const CRC_AT: usize = ZERO_AT + 4;
const _: () = assert!(CRC_AT + 4 == HEAD_BYTES);

/// How far the writer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Readers may read what is written and not yet durable.
    pub(crate) reads_written: bool,
    /// The newest segment is written directly. For people: readers do the same either way.
    pub(crate) writes_directly: bool,
    pub(crate) durable_seq: u64,
    pub(crate) written_seq: u64,
    /// The ordinal of the newest segment.
    pub(crate) ordinal: u64,
    pub(crate) incarnation: Incarnation,
    pub(crate) boot_id: [u8; 16],
}

impl Head {
    /// The end of what readers may read.
    pub(crate) fn visible_seq(&self) -> u64 {
        if self.reads_written { self.written_seq } else { self.durable_seq }
    }

    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..FLAGS_AT].copy_from_slice(&MAGIC);
        bytes[FLAGS_AT] = u8::from(self.reads_written) | u8::from(self.writes_directly) << 1;
        bytes[DURABLE_SEQ_AT..WRITTEN_SEQ_AT].copy_from_slice(&self.durable_seq.to_le_bytes());
        bytes[WRITTEN_SEQ_AT..ORDINAL_AT].copy_from_slice(&self.written_seq.to_le_bytes());
        bytes[ORDINAL_AT..INCARNATION_AT].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[INCARNATION_AT..BOOT_ID_AT].copy_from_slice(&self.incarnation.0);
        bytes[BOOT_ID_AT..ZERO_AT].copy_from_slice(&self.boot_id);
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are no head, or one that was caught while it was being written.
    pub(crate) fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let sound = bytes[..FLAGS_AT] == MAGIC
            && bytes[FLAGS_AT] <= 3
            && bytes[FLAGS_AT + 1..DURABLE_SEQ_AT] == [0; 3]
            && bytes[ZERO_AT..CRC_AT] == [0; 4]
            && crc32fast::hash(&bytes[..CRC_AT]).to_le_bytes() == bytes[CRC_AT..];
        sound.then(|| Self {
            reads_written: bytes[FLAGS_AT] & 1 != 0,
            writes_directly: bytes[FLAGS_AT] & 2 != 0,
            durable_seq: u64_at(DURABLE_SEQ_AT),
            written_seq: u64_at(WRITTEN_SEQ_AT),
            ordinal: u64_at(ORDINAL_AT),
            incarnation: Incarnation(std::array::from_fn(|i| bytes[INCARNATION_AT + i])),
            boot_id: std::array::from_fn(|i| bytes[BOOT_ID_AT + i]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_head_comes_back(
            flags: (bool, bool), seqs: (u64, u64, u64), incarnation: [u8; 16], boot_id: [u8; 16],
        ) {
            let (durable_seq, written_seq, ordinal) = seqs;
            let (reads_written, writes_directly) = flags;
            let incarnation = Incarnation(incarnation);
            let head = Head { reads_written, writes_directly, durable_seq, written_seq, ordinal, incarnation, boot_id };
            prop_assert_eq!(Head::decode(&head.encode()), Some(head));
        }
    }

    #[test]
    fn a_head_comes_back_and_every_flipped_bit_makes_it_none() {
        let head = Head {
            reads_written: true,
            writes_directly: false,
            durable_seq: 1,
            written_seq: 2,
            ordinal: 3,
            incarnation: Incarnation([4; 16]),
            boot_id: [5; 16],
        };
        let good = head.encode();
        assert_eq!(Head::decode(&good), Some(head));
        for bit in 0..HEAD_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bad), None, "bit {bit}");
        }
        assert_eq!(Head::decode(&[0; HEAD_BYTES]), None);
    }

    #[test]
    fn fields_that_are_to_be_zero_and_are_not_make_it_none() {
        let (incarnation, boot_id) = (Incarnation([4; 16]), [5; 16]);
        let head = Head {
            reads_written: false,
            writes_directly: false,
            durable_seq: 1,
            written_seq: 2,
            ordinal: 3,
            incarnation,
            boot_id,
        };
        for at in (FLAGS_AT..DURABLE_SEQ_AT).chain(ZERO_AT..CRC_AT) {
            let mut bytes = head.encode();
            bytes[at] = 4;
            let crc = crc32fast::hash(&bytes[..CRC_AT]).to_le_bytes();
            bytes[CRC_AT..].copy_from_slice(&crc);
            assert_eq!(Head::decode(&bytes), None, "byte {at}");
        }
    }
}
