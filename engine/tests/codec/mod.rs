//! The codec of the logs that tests write: rows, or columns if `ANNALS_CODEC` is `columns`.

use annals::Codec;

pub(crate) fn codec() -> Codec {
    match std::env::var("ANNALS_CODEC").as_deref() {
        Ok("columns") => Codec::Columns,
        Ok("rows") | Err(_) => Codec::Rows,
        Ok(other) => panic!("ANNALS_CODEC is rows or columns, not {other}"),
    }
}
