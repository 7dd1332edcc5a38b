//! The catalog's body as bytes. docs/format.md, "Catalog".

use super::hold::HOLDS_MAX;
use super::removal::{REASON_BYTES_MAX, REMOVALS_MAX};
use super::{Catalog, FIELD_BYTES_MAX, FIELDS_MAX, Hold, Removal, Removed};
use crate::Timestamp;
use crate::fields::{Fields, put_signed_varint, put_varint};
use crate::merkle::Frontier;
use std::sync::Arc;

/// Largest body, in bytes: more than the limits of what is in it come to.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;

impl Catalog {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.fields.len() as u64);
        self.fields.iter().for_each(|field| put_text(&mut out, field));
        put_varint(&mut out, self.holds.len() as u64);
        for hold in &self.holds {
            put_text(&mut out, &hold.name);
            put_varint(&mut out, hold.first_seq);
            put_varint(&mut out, hold.end_seq.unwrap_or(u64::MAX));
            put_signed_varint(&mut out, hold.since.as_micros());
            put_text(&mut out, &hold.reason);
        }
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
        out
    }

    /// The catalog in `bytes`; `None` if they contradict themselves or the limits.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mut catalog = Self::default();
        let count = take_count(&mut fields, FIELDS_MAX)?;
        let paths = (0..count).map(|_| take_text(&mut fields, FIELD_BYTES_MAX)).collect::<Option<Vec<_>>>()?;
        catalog.set_fields(paths).ok()?;
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
        fields.is_empty().then_some(catalog)
    }
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
    use super::super::removal::tests::removed;
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.set_fields(vec!["user".into(), "detail.request_id".into()]).unwrap();
        catalog.add_hold(Hold::new("case 7", 3..9, Timestamp::from_micros(-5), "a court asked").unwrap()).unwrap();
        catalog.add_hold(Hold::new("all", .., Timestamp::MAX, "").unwrap()).unwrap();
        catalog.removed = Arc::new(removed(&[3, 700]));
        catalog
    }

    #[test]
    fn a_catalog_comes_back_as_it_was_written() {
        assert_eq!(Catalog::decode(&catalog().encode()), Some(catalog()));
        assert_eq!(Catalog::decode(&Catalog::default().encode()), Some(Catalog::default()));
    }

    #[test]
    fn the_largest_catalog_fits() {
        let mut catalog = Catalog::default();
        catalog.set_fields((0..FIELDS_MAX).map(|n| format!("{n:0255}")).collect()).unwrap();
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
        let bytes = catalog.encode();
        assert!(bytes.len() + (1 << 16) < BODY_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(Catalog::decode(&bytes), Some(catalog));
    }

    #[test]
    fn bytes_that_say_less_or_more_are_refused() {
        let good = catalog().encode();
        for len in 0..good.len() {
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
