//! The catalog's body as bytes. docs/format.md, "Catalog".

use super::hold::HOLDS_MAX;
use super::release::RELEASES_MAX;
use super::removal::{REASON_BYTES_MAX, REMOVALS_MAX};
use super::{Catalog, FIELD_BYTES_MAX, Hold, Release, Releases, Removal, Removed};
use crate::Timestamp;
use crate::fields::{Fields, put_signed_varint, put_varint};
use crate::merkle::Frontier;
use crate::query::FieldPath;
use annals_index::FIELDS_MAX;
use std::sync::Arc;

/// Largest body, in bytes: more than the limits of what is in it come to.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;

impl Catalog {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = self.fields().unwrap_or_default();
        put_varint(&mut out, fields.len() as u64);
        fields.iter().for_each(|field| put_text(&mut out, &field.to_string()));
        put_varint(&mut out, self.holds.len() as u64);
        self.holds.iter().for_each(|hold| put_hold(&mut out, hold));
        self.removed.frontier().encode(&mut out);
        put_varint(&mut out, self.removed.removals().len() as u64);
        for removal in self.removed.removals() {
            let seqs = removal.end_seq - removal.first_seq;
            for number in [seqs, removal.records, removal.segments, removal.bytes, removal.runs] {
                put_varint(&mut out, number);
            }
            let micros = |time: Option<Timestamp>| time.unwrap_or_default().as_micros();
            for time in [micros(removal.time_min), micros(removal.time_max), removal.removed.as_micros()] {
                put_signed_varint(&mut out, time);
            }
            out.extend(removal.root);
            put_text(&mut out, &removal.reason);
        }
        self.encode_more(&mut out);
        out
    }

    /// Adds what not every catalog says, if this one does.
    fn encode_more(&self, out: &mut Vec<u8>) {
        let no_fields = self.fields().is_some_and(<[_]>::is_empty);
        if !no_fields && self.releases == Releases::default() {
            return;
        }
        put_varint(out, no_fields.into());
        put_varint(out, self.releases.forgotten());
        put_varint(out, self.releases.kept().len() as u64);
        for release in self.releases.kept() {
            put_hold(out, &release.hold);
            put_signed_varint(out, release.released.as_micros());
            put_text(out, &release.release_reason);
        }
    }

    /// The catalog in `bytes`; `None` if they contradict themselves or the limits.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mut catalog = Self::default();
        let count = take_count(&mut fields, FIELDS_MAX)?;
        let paths = (0..count).map(|_| take_path(&mut fields)).collect::<Option<Vec<_>>>()?;
        if !paths.is_empty() {
            catalog.set_fields(paths).ok()?;
        }
        for _ in 0..take_count(&mut fields, HOLDS_MAX)? {
            catalog.add_hold(take_hold(&mut fields)?).ok()?;
        }
        let (frontier, rest) = Frontier::decode(fields.0)?;
        fields = Fields(rest);
        let count = take_count(&mut fields, REMOVALS_MAX)?;
        let mut removals = Vec::new();
        let mut first_seq = 0;
        for _ in 0..count {
            let removal = take_removal(&mut fields, first_seq)?;
            first_seq = removal.end_seq;
            removals.push(Arc::new(removal));
        }
        catalog.removed = Arc::new(Removed::of(removals, frontier)?);
        if !fields.is_empty() {
            catalog.decode_more(&mut fields)?;
        }
        fields.is_empty().then_some(catalog)
    }

    /// Takes in what not every catalog says. One that says nothing there has no such part.
    fn decode_more(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let no_fields = match fields.varint()? {
            0 => false,
            1 if self.fields.is_none() => true,
            _ => return None,
        };
        let forgotten = fields.varint()?;
        let count = take_count(fields, RELEASES_MAX)?;
        let kept = (0..count).map(|_| take_release(fields)).collect::<Option<Vec<_>>>()?;
        if no_fields {
            self.set_fields(Vec::new()).ok()?;
        }
        self.releases = Releases::of(kept, forgotten)?;
        (no_fields || self.releases != Releases::default()).then_some(())
    }
}

/// A path, spelled as it is written.
fn take_path(fields: &mut Fields<'_>) -> Option<FieldPath> {
    let text = take_text(fields, FIELD_BYTES_MAX)?;
    let path: FieldPath = text.parse().ok()?;
    (path.to_string() == text).then_some(path)
}

fn take_release(fields: &mut Fields<'_>) -> Option<Release> {
    Some(Release {
        hold: take_hold(fields)?,
        released: Timestamp::from_micros(fields.signed_varint()?),
        release_reason: take_text(fields, REASON_BYTES_MAX)?,
    })
}

fn put_hold(out: &mut Vec<u8>, hold: &Hold) {
    put_text(out, &hold.name);
    put_varint(out, hold.first_seq);
    put_varint(out, hold.end_seq.unwrap_or(u64::MAX));
    put_signed_varint(out, hold.since.as_micros());
    put_text(out, &hold.reason);
}

fn take_hold(fields: &mut Fields<'_>) -> Option<Hold> {
    let hold = Hold {
        name: take_text(fields, super::hold::NAME_BYTES_MAX)?,
        first_seq: fields.varint()?,
        end_seq: Some(fields.varint()?).filter(|&end| end != u64::MAX),
        since: Timestamp::from_micros(fields.signed_varint()?),
        reason: take_text(fields, REASON_BYTES_MAX)?,
    };
    hold.fault().is_none().then_some(hold)
}

fn take_removal(fields: &mut Fields<'_>, first_seq: u64) -> Option<Removal> {
    let seqs = fields.varint()?;
    let end_seq = first_seq.checked_add(seqs)?;
    let (records, segments, bytes, runs) = (fields.varint()?, fields.varint()?, fields.varint()?, fields.varint()?);
    let times = (fields.signed_varint()?, fields.signed_varint()?);
    let (time_min, time_max) = match records {
        0 if times == (0, 0) => (None, None),
        1.. if records <= seqs && times.0 <= times.1 => {
            (Some(Timestamp::from_micros(times.0)), Some(Timestamp::from_micros(times.1)))
        }
        _ => return None,
    };
    let removed = Timestamp::from_micros(fields.signed_varint()?);
    let root = fields.array()?;
    let reason = take_text(fields, REASON_BYTES_MAX)?;
    Some(Removal { first_seq, end_seq, records, segments, bytes, time_min, time_max, removed, runs, reason, root })
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn take_text(fields: &mut Fields<'_>, bytes_max: usize) -> Option<String> {
    let len = take_count(fields, bytes_max)?;
    String::from_utf8(fields.take(len)?.to_vec()).ok()
}

/// A count that is at most `max`.
fn take_count(fields: &mut Fields<'_>, max: usize) -> Option<usize> {
    usize::try_from(fields.varint()?).ok().filter(|&count| count <= max)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::release::tests::release;
    use super::super::removal::tests::removed;
    use super::*;
    use proptest::prelude::*;

    fn paths<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<FieldPath> {
        texts.into_iter().map(|text| text.parse().unwrap()).collect()
    }

    pub(in super::super) fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.set_fields(paths(["user", "detail.request_id", "detail.\"full name\""])).unwrap();
        catalog.add_hold(Hold::new("case 7", 3..9, Timestamp::from_micros(-5), "a court asked").unwrap()).unwrap();
        catalog.add_hold(Hold::new("all", .., Timestamp::MAX, "").unwrap()).unwrap();
        catalog.removed = Arc::new(removed(&[3, 700]));
        catalog.releases = Releases::of(vec![release(1), release(2)], 7).unwrap();
        catalog
    }

    /// As programs wrote it that knew of nothing behind the removals.
    fn catalog_of_old() -> Catalog {
        Catalog { releases: Releases::default(), ..catalog() }
    }

    #[test]
    fn a_catalog_comes_back_as_it_was_written() {
        assert_eq!(Catalog::decode(&catalog().encode()), Some(catalog()));
        assert_eq!(Catalog::decode(&Catalog::default().encode()), Some(Catalog::default()));
        assert_eq!(Catalog::decode(&catalog_of_old().encode()), Some(catalog_of_old()));
        let ended = Catalog { fields: Some(Vec::new()), ..Catalog::default() };
        assert_eq!(Catalog::decode(&ended.encode()), Some(ended));
    }

    #[test]
    fn no_byte_is_spent_on_what_is_not_said() {
        let (old, new) = (catalog_of_old().encode(), catalog().encode());
        assert!(new.starts_with(&old));
        assert_eq!(Catalog::decode(&[old, vec![0, 0, 0]].concat()), None);
    }

    #[test]
    fn paths_are_spelled_in_one_way() {
        let mut bytes = vec![1, 8];
        bytes.extend(b"\"a\" . b");
        let rest = Catalog::default().encode();
        bytes.extend(&rest[1..]);
        assert_eq!(Catalog::decode(&bytes), None);
    }

    #[test]
    fn the_largest_catalog_fits() {
        let mut catalog = Catalog::default();
        let long = |n| FieldPath::new([format!("k{n:01023}")]).unwrap();
        catalog.set_fields((0..FIELDS_MAX).map(long).collect()).unwrap();
        for n in 0..HOLDS_MAX {
            let hold = Hold::new(&format!("{n:0128}"), .., Timestamp::MIN, &"r".repeat(REASON_BYTES_MAX)).unwrap();
            catalog.add_hold(hold).unwrap();
        }
        assert!(catalog.add_hold(Hold::new("more", .., Timestamp::MIN, "").unwrap()).is_err());
        let removal = |n| Removal {
            reason: "r".repeat(REASON_BYTES_MAX),
            removed: Timestamp::MIN,
            bytes: u64::MAX,
            ..super::super::removal::tests::removal(n, n + 1)
        };
        let removals = (0..REMOVALS_MAX as u64).map(|n| Arc::new(removal(n))).collect();
        catalog.removed =
            Arc::new(Removed::of(removals, super::super::removal::tests::frontier(REMOVALS_MAX as u64)).unwrap());
        let released = |n: usize| Release {
            hold: catalog.holds[n].clone(),
            released: Timestamp::MIN,
            release_reason: "r".repeat(REASON_BYTES_MAX),
        };
        catalog.releases = Releases::of((0..RELEASES_MAX).map(released).collect(), u64::MAX).unwrap();
        let bytes = catalog.encode();
        assert!(bytes.len() + (1 << 16) < BODY_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(Catalog::decode(&bytes), Some(catalog));
    }

    #[test]
    fn bytes_that_say_less_or_more_are_refused() {
        let (good, old) = (catalog().encode(), catalog_of_old().encode());
        for len in (0..good.len()).filter(|&len| len != old.len()) {
            assert_eq!(Catalog::decode(&good[..len]), None, "{len} bytes");
        }
        assert_eq!(Catalog::decode(&[good.as_slice(), &[0]].concat()), None);
        assert_eq!(Catalog::decode(&[0xff; 64]), None);
    }

    proptest! {
        #[test]
        fn what_is_read_from_any_bytes_is_written_the_same(flips in proptest::collection::vec((any::<usize>(), 0u8..8), 1..4)) {
            let mut bytes = catalog().encode();
            for (at, bit) in flips {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            if let Some(catalog) = Catalog::decode(&bytes) {
                prop_assert_eq!(catalog.encode(), bytes);
            }
        }
    }
}
