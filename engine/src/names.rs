//! The names of all files in a log's directory: built here, parsed here, nowhere else.
//!
//! Segment files are named for the first seq they can hold and an ordinal that counts the files of the log, so that no
//! name is ever used twice. Names sort in the order of the log.

mod stream;

use crate::raw::frame::SEQ_LIMIT;
pub use stream::StreamName;

/// The identity file of a store of streams. What a store has beside its streams' directories has a dot in its name, which no
/// such directory has, or is its quarantine.
pub(crate) const STORE_IDENTITY: &str = "store.id";
/// The file whose lock a store's writer holds.
pub(crate) const STORE_LOCK: &str = "store.lock";
/// The identity file.
pub(crate) const IDENTITY: &str = "identity";
/// The file whose lock the writer holds.
pub(crate) const LOCK: &str = "lock";
/// Where the writer tells readers how far they may read.
pub(crate) const HEAD: &str = "head";
/// What a log knows beside its records.
pub(crate) const CATALOG: &str = "catalog";
/// Where bytes that recovery takes out of the log are kept.
pub(crate) const QUARANTINE: &str = "quarantine";
/// The ending of a file that has not got its name yet.
const TEMPORARY: &str = ".tmp";

/// Ordinals stay below this, so that the next one is a number, too.
pub(crate) const ORDINAL_LIMIT: u64 = 1 << 63;

/// What a segment file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SegmentKind {
    /// Frames as they were appended.
    Raw,
    /// Compressed blocks.
    Sealed,
    /// The index of the sealed segment with the same base and ordinal.
    Index,
    /// The field index of the sealed segment with the same base and ordinal.
    Fields,
    /// What is kept of statistics of the sealed segment with the same base and ordinal.
    Statistics,
}

impl SegmentKind {
    const ALL: [Self; 5] = [Self::Raw, Self::Sealed, Self::Index, Self::Fields, Self::Statistics];

    const fn ending(self) -> &'static str {
        match self {
            Self::Raw => "log",
            Self::Sealed => "seg",
            Self::Index => "idx",
            Self::Fields => "fld",
            Self::Statistics => "sts",
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
        let kind = SegmentKind::ALL.into_iter().find(|kind| kind.ending() == ending)?;
        let name = Self { base_seq: base.parse().ok()?, ordinal: ordinal.parse().ok()?, kind };
        let possible = name.base_seq <= SEQ_LIMIT && name.ordinal < ORDINAL_LIMIT;
        (possible && name.to_string() == text).then_some(name)
    }

    /// The index of this sealed segment.
    pub(crate) fn index(self) -> Self {
        Self { kind: SegmentKind::Index, ..self }
    }

    /// The field index of this sealed segment.
    pub(crate) fn fields(self) -> Self {
        Self { kind: SegmentKind::Fields, ..self }
    }

    /// What is kept of statistics of this sealed segment.
    pub(crate) fn statistics(self) -> Self {
        Self { kind: SegmentKind::Statistics, ..self }
    }

    /// The files that are derived from this sealed segment.
    pub(crate) fn derived(self) -> [Self; 3] {
        [self.index(), self.fields(), self.statistics()]
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

/// The file in quarantine that keeps the bytes of `segment` from `offset` on, when the log ended at the record
/// `end_seq` without them.
pub(crate) fn quarantined_tail(segment: SegmentName, offset: u64, end_seq: u64) -> String {
    format!("{}{AT}{end_seq}", quarantined(segment, offset))
}

/// The `n`-th name of what is kept in quarantine as `kept`, for where the ones before stand for other bytes.
pub(crate) fn quarantined_again(kept: &str, n: u32) -> String {
    match n {
        0 => kept.to_owned(),
        n => format!("{kept}.{n}"),
    }
}

/// The file in quarantine that keeps all of the file `name`, as the `n`-th copy of it.
pub(crate) fn quarantined_copy(name: &str, n: u32) -> String {
    quarantined_again(&format!("{QUARANTINE}/{name}.from-0"), n)
}

const AT: &str = ".at-";
const RESTORING: &str = ".restoring-";
const RESTORED: &str = ".restored";

/// A file in quarantine that keeps what followed the end of the log, as its name tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The name it got first, without the folder.
    pub(crate) name: String,
    pub(crate) segment: SegmentName,
    pub(crate) offset: u64,
    /// Where the log ended without it.
    pub(crate) end_seq: u64,
    /// How many names were taken by other bytes when it got its own.
    pub(crate) copy: u32,
    /// The first seq under which its records are being appended again.
    pub(crate) restoring: Option<u64>,
}

impl Tail {
    /// The tail in the file `name` of quarantine; `None` for any other file, and for a tail that was restored.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (first, restoring) = match name.split_once(RESTORING) {
            Some((first, seq)) => (first, Some(seq.parse().ok()?)),
            None => (name, None),
        };
        let (segment, place) = first.split_once(".from-")?;
        let (offset, end) = place.split_once(AT)?;
        let (end, copy) = end.split_once('.').unwrap_or((end, "0"));
        let (offset, end_seq, copy) = (offset.parse().ok()?, end.parse().ok()?, copy.parse().ok()?);
        let segment = SegmentName::parse(segment)?;
        let tail = Self { name: first.to_owned(), segment, offset, end_seq, copy, restoring };
        (tail.current() == format!("{QUARANTINE}/{name}")).then_some(tail)
    }

    /// The name it has now.
    pub(crate) fn current(&self) -> String {
        let first = self.first_name();
        self.restoring.map_or(first.clone(), |seq| format!("{first}{RESTORING}{seq}"))
    }

    /// The name it got first, in its folder.
    fn first_name(&self) -> String {
        quarantined_again(&quarantined_tail(self.segment, self.offset, self.end_seq), self.copy)
    }

    /// Whether both keep what was found behind the same end of the log, at the same place.
    pub(crate) fn is_of_same_place(&self, other: &Self) -> bool {
        (self.segment, self.offset, self.end_seq) == (other.segment, other.offset, other.end_seq)
    }

    /// Whether the file `name` of quarantine is one of the same place of which the records are in the log again.
    pub(crate) fn is_restored_as(&self, name: &str) -> bool {
        let other = name.strip_suffix(RESTORED).and_then(Self::parse);
        other.is_some_and(|other| self.is_of_same_place(&other))
    }

    /// The name it has once its records are in the log again.
    pub(crate) fn restored(&self) -> String {
        format!("{}{RESTORED}", self.first_name())
    }
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
        fn any_name_comes_back(base_seq in 0..=SEQ_LIMIT, ordinal in 0..ORDINAL_LIMIT, kind in 0..5usize, offset: u64) {
            let kind = SegmentKind::ALL[kind];
            let name = SegmentName { base_seq, ordinal, kind };
            prop_assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
            let kept = quarantined(name, offset);
            prop_assert_eq!(quarantined_segment(kept.strip_prefix("quarantine/").unwrap()), Some(name));
        }

        #[test]
        fn a_text_is_one_name_or_none(text in "[0-9+]{18,21}-[0-9+]{9,12}\\.(log|seg|idx|fld|sts|tmp)") {
            prop_assert!(SegmentName::parse(&text).is_none_or(|name| name.to_string() == text));
        }
    }

    #[test]
    fn a_name_in_quarantine_tells_the_segment() {
        let name = SegmentName { base_seq: 1_000, ordinal: 7, kind: SegmentKind::Raw };
        let kept = quarantined(name, 8_192);
        assert_eq!(quarantined_segment(kept.strip_prefix("quarantine/").unwrap()), Some(name));
        assert_eq!(quarantined_segment("notes.txt"), None);
        let raw = SegmentName { kind: SegmentKind::Raw, ..name };
        let tail = quarantined_tail(raw, 8_192, 77);
        let file = tail.strip_prefix("quarantine/").unwrap();
        assert_eq!(quarantined_segment(file), Some(raw));
        let parsed = Tail::parse(file).unwrap();
        assert_eq!((parsed.segment, parsed.offset, parsed.end_seq, parsed.restoring), (raw, 8_192, 77, None));
        let restoring = Tail { restoring: Some(80), ..parsed.clone() };
        assert_eq!(Tail::parse(restoring.current().strip_prefix("quarantine/").unwrap()), Some(restoring));
        let restored = parsed.restored();
        let restored = restored.strip_prefix("quarantine/").unwrap();
        assert_eq!(Tail::parse(restored), None);
        let again = Tail::parse(&format!("{file}.2")).unwrap();
        assert_eq!((again.copy, again.end_seq, again.current()), (2, 77, format!("{tail}.2")));
        assert!(again.is_of_same_place(&parsed) && again.is_restored_as(restored) && !again.is_restored_as(file));
        assert_eq!((Tail::parse(&format!("{file}.0")), Tail::parse(&format!("{file}.2.1"))), (None, None));
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
