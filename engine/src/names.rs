//! The names of all files in a log's directory: built here, parsed here, nowhere else.
//!
//! Segment files are named for the first seq they can hold and an ordinal that counts the files of the log, so that no
//! name is ever used twice. Names sort in the order of the log.

use crate::raw::frame::SEQ_LIMIT;

/// The identity file.
pub(crate) const IDENTITY: &str = "identity";
/// The file whose lock the writer holds.
pub(crate) const LOCK: &str = "lock";
/// Where the writer tells readers how far they may read.
pub(crate) const HEAD: &str = "head";
/// Where bytes that recovery takes out of the log are kept.
pub(crate) const QUARANTINE: &str = "quarantine";
/// The ending of a file that has not got its name yet.
const TEMPORARY: &str = ".tmp";

/// Ordinals stay below this, so that the next one is a number, too.
const ORDINAL_LIMIT: u64 = 1 << 63;

/// What a segment file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SegmentKind {
    /// Frames as they were appended.
    Raw,
    /// Compressed blocks.
    Sealed,
    /// The index of the sealed segment with the same base and ordinal.
    Index,
}

impl SegmentKind {
    const fn ending(self) -> &'static str {
        match self {
            Self::Raw => "log",
            Self::Sealed => "seg",
            Self::Index => "idx",
        }
    }
}

/// The name of a segment file. Orders as the log does: by base, then by ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentName {
    pub(crate) base_seq: u64,
    pub(crate) ordinal: u64,
    pub(crate) kind: SegmentKind,
}

impl SegmentName {
    /// The name in `text`; `None` for anything this file's `Display` would not have written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stem, ending) = text.split_once('.')?;
        let (base, ordinal) = stem.split_once('-')?;
        let kind =
            [SegmentKind::Raw, SegmentKind::Sealed, SegmentKind::Index].into_iter().find(|k| k.ending() == ending)?;
        let name = Self { base_seq: base.parse().ok()?, ordinal: ordinal.parse().ok()?, kind };
        let possible = name.base_seq <= SEQ_LIMIT && name.ordinal < ORDINAL_LIMIT;
        (possible && name.to_string() == text).then_some(name)
    }

    /// The index of this sealed segment.
    pub(crate) fn index(self) -> Self {
        Self { kind: SegmentKind::Index, ..self }
    }
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:020}-{:010}.{}", self.base_seq, self.ordinal, self.kind.ending())
    }
}

/// The name a file has until it is complete.
pub(crate) fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// Whether `name` is that of a file that was never completed.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY)
}

/// The file in quarantine that keeps the bytes of `segment` from `offset` on.
pub(crate) fn quarantined(segment: SegmentName, offset: u64) -> String {
    format!("{QUARANTINE}/{segment}.from-{offset}")
}

/// The segment that the file `name` in quarantine keeps bytes of.
pub(crate) fn quarantined_segment(name: &str) -> Option<SegmentName> {
    SegmentName::parse(name.split_once(".from-")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_back_and_sort_as_the_log_does() {
        let name = SegmentName { base_seq: 1_000, ordinal: 7, kind: SegmentKind::Sealed };
        assert_eq!(name.to_string(), "00000000000000001000-0000000007.seg");
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        let later = SegmentName { base_seq: 20_000, ordinal: 3, kind: SegmentKind::Raw };
        assert!(name < later && name.to_string() < later.to_string());
        let extreme = SegmentName { base_seq: SEQ_LIMIT, ordinal: ORDINAL_LIMIT - 1, kind: SegmentKind::Raw };
        assert_eq!(SegmentName::parse(&extreme.to_string()), Some(extreme));
    }

    proptest! {
        #[test]
        fn any_name_comes_back(base_seq in 0..=SEQ_LIMIT, ordinal in 0..ORDINAL_LIMIT, kind in 0..3usize, offset: u64) {
            let kind = [SegmentKind::Raw, SegmentKind::Sealed, SegmentKind::Index][kind];
            let name = SegmentName { base_seq, ordinal, kind };
            prop_assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
            let kept = quarantined(name, offset);
            prop_assert_eq!(quarantined_segment(kept.strip_prefix("quarantine/").unwrap()), Some(name));
        }

        #[test]
        fn a_text_is_one_name_or_none(text in "[0-9+]{18,21}-[0-9+]{9,12}\\.(log|seg|idx|tmp)") {
            prop_assert!(SegmentName::parse(&text).is_none_or(|name| name.to_string() == text));
        }
    }

    #[test]
    fn a_name_in_quarantine_tells_the_segment() {
        let name = SegmentName { base_seq: 1_000, ordinal: 7, kind: SegmentKind::Raw };
        let kept = quarantined(name, 8_192);
        assert_eq!(quarantined_segment(kept.strip_prefix("quarantine/").unwrap()), Some(name));
        assert_eq!(quarantined_segment("notes.txt"), None);
    }

    #[test]
    fn what_is_not_exactly_a_name_is_none() {
        for text in [
            "",
            "identity",
            "1000-7.seg",
            "00000000000000001000-0000000007.seg.tmp",
            "00000000000000001000-0000000007.SEG",
            "+0000000000000001000-0000000007.seg",
            "99999999999999999999-0000000007.seg",
            "09223372036854775809-0000000007.seg",
            "00000000000000001000-9223372036854775808.seg",
            "../00000000000000001000-0000000007.seg",
        ] {
            assert_eq!(SegmentName::parse(text), None, "{text}");
        }
    }
}
