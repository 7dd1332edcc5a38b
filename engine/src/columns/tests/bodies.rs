//! Bodies to try: any MessagePack, in any spelling of it, and what isn't any.

use proptest::collection::vec;
use proptest::prelude::*;

/// A string: of few, so that they repeat, or with numbers, ids and times in it, or any.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["login", "logout", "", "a\nb\nlong enough to be several lines\nd", "ü", "00", "0"])
            .prop_map(str::to_owned),
        any::<u32>().prop_map(|n| format!("user{:04} did {n} at 10.0.{}.{}", n % 9_999, n % 7, n % 256)),
        any::<u64>().prop_map(|n| format!("req-{n:016x}-{n:X} 0x{n:x}")),
        any::<u128>().prop_map(|n| {
            let hex = format!("{n:032x}");
            format!("{{{}-{}-{}-{}-{}}}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        }),
        (0u32..50, 0u32..1_000_000).prop_map(|(day, n)| format!("2024-02-{day:02}T12:{:02}:07.{n:06}Z", n % 61)),
        (0u32..50, 0u32..99).prop_map(|(day, n)| format!("2024-02-{day:02} 12:{:02}:07.{n}", n % 61)),
        (0i64..4, ".{0,60}").prop_map(|(n, any)| format!("a long text that names user{n:04} again and again: {any}")),
        ".{0,12}",
        vec(prop::sample::select(vec!['a', '0', '1', 'F', '-', '.', '\n', 'x', ' ']), 0..60)
            .prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn string(text: &str, spelling: u8) -> Vec<u8> {
    let len = text.len() as u32;
    let mut out = match (spelling % 8, len) {
        (0, ..=0xFF) => vec![0xD9, len as u8],
        (1, ..=0xFFFF) => [&[0xDA][..], &(len as u16).to_be_bytes()].concat(),
        (2, _) => [&[0xDB][..], &len.to_be_bytes()].concat(),
        _ => {
            let mut head = Vec::new();
            crate::columns::keys::put_text_header(text.len(), &mut head);
            head
        }
    };
    out.extend(text.as_bytes());
    out
}

fn integer(number: i64, spelling: u8) -> Vec<u8> {
    match spelling % 10 {
        0 => [&[0xD3][..], &number.to_be_bytes()].concat(),
        1 => [&[0xCF][..], &number.to_be_bytes()].concat(),
        2 => [&[0xD1][..], &(number as i16).to_be_bytes()].concat(),
        3 => [&[0xCE][..], &(number as u32).to_be_bytes()].concat(),
        4 => vec![0xCC, number as u8],
        _ => {
            let mut out = Vec::new();
            crate::columns::keys::put_integer(number, &mut out);
            out
        }
    }
}

fn scalar() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![0xC0u8, 0xC2, 0xC3, 0x05, 0xFF]).prop_map(|byte| vec![byte]),
        (any::<i64>(), 0u32..64, any::<u8>()).prop_map(|(n, shift, spelling)| integer(n >> shift, spelling)),
        (0i64..5, Just(9)).prop_map(|(n, spelling)| integer(1_700_000_000_000_000 + n, spelling)),
        any::<u64>().prop_map(|bits| [&[0xCB][..], &bits.to_be_bytes()].concat()),
        (-100_000i64..100_000, 0u8..6).prop_map(|(n, scale)| [
            &[0xCB][..],
            &(n as f64 / 10f64.powi(scale.into())).to_be_bytes()
        ]
        .concat()),
        prop::sample::select(vec![0.0f64, -0.0, f64::NAN, f64::INFINITY, 1e300, 5e-324]).prop_map(|double| [
            &[0xCB][..],
            &double.to_be_bytes()
        ]
        .concat()),
        any::<u32>().prop_map(|bits| [&[0xCA][..], &bits.to_be_bytes()].concat()),
        (text(), any::<u8>()).prop_map(|(text, spelling)| string(&text, spelling)),
        (text(), Just(9)).prop_map(|(text, spelling)| string(&text, spelling)),
        vec(any::<u8>(), 0..20).prop_map(|bytes| [&[0xC4, bytes.len() as u8][..], &bytes].concat()),
        (any::<i8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, bytes)| [
            &[0xC7, bytes.len() as u8, kind as u8][..],
            &bytes
        ]
        .concat()),
    ]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => prop::sample::select(vec!["a", "b", "c", "time", "message"]).prop_map(|key| string(key, 9)),
        1 => (text(), any::<u8>()).prop_map(|(text, spelling)| string(&text, spelling)),
        1 => Just(vec![0xCC, 0xC1]),
        1 => Just(vec![0x92, 0xC0, 0x01]),
    ]
}

fn head(count: usize, base: u8, long: u8, spelling: u8) -> Vec<u8> {
    match spelling % 6 {
        0 => [&[long][..], &(count as u16).to_be_bytes()].concat(),
        1 => [&[long + 1][..], &(count as u32).to_be_bytes()].concat(),
        _ => vec![base | count as u8],
    }
}

fn map(pairs: Vec<(Vec<u8>, Vec<u8>)>, spelling: u8) -> Vec<u8> {
    let mut out = head(pairs.len(), 0x80, 0xDE, spelling);
    pairs.into_iter().for_each(|(key, value)| out.extend([key, value].concat()));
    out
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    scalar().prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            (vec((key(), inner.clone()), 0..6), any::<u8>()).prop_map(|(pairs, spelling)| map(pairs, spelling)),
            (vec(inner, 0..6), any::<u8>()).prop_map(|(values, spelling)| {
                let mut out = head(values.len(), 0x90, 0xDC, spelling);
                values.into_iter().for_each(|value| out.extend(value));
                out
            }),
        ]
    })
}

/// A body: mostly maps, some in shapes that repeat, some with keys in any order.
pub(super) fn body() -> impl Strategy<Value = Vec<u8>> {
    let keys = ["time", "id", "user", "message", "tags"];
    let alike =
        vec(value(), 5).prop_map(move |values| map(keys.iter().map(|key| string(key, 9)).zip(values).collect(), 9));
    let shuffled = (vec(value(), 5), Just(keys.to_vec()).prop_shuffle())
        .prop_map(|(values, keys)| map(keys.iter().map(|key| string(key, 9)).zip(values).collect(), 9));
    prop_oneof![
        6 => alike,
        2 => shuffled,
        4 => (vec((key(), value()), 0..8), any::<u8>()).prop_map(|(pairs, spelling)| map(pairs, spelling)),
        1 => vec(any::<u8>(), 0..40),
    ]
}

/// Records: their timestamps and bodies, of which some occur again.
pub(super) fn records(most: usize) -> impl Strategy<Value = Vec<(i64, Vec<u8>)>> {
    (vec((any::<i32>(), body()), 1..most), vec(any::<prop::sample::Index>(), 0..most)).prop_map(|(own, again)| {
        let mut all: Vec<(i64, Vec<u8>)> = own.into_iter().map(|(time, body)| (i64::from(time) << 20, body)).collect();
        for index in again {
            let record = index.get(&all).clone();
            all.push(record);
        }
        all
    })
}
