//! Opening a log: finding out what its files hold, and what an unclean end means.
//!
//! - [`inspect`] reads and decides, and changes nothing: readers use it too.
//! - [`settle`] is what the writer does about it before the first append: it keeps what recovery leaves out, and gives
//!   records that may be in memory only a new, synced place.
//!
//! Damage is not a torn tail. A bad range below the highest watermark was acknowledged: damage. Above it, several
//! commits may have been under way: it is damage if the bytes are not what an unfinished write leaves, and otherwise
//! unknown, so that the readable prefix ends there.

mod ending;
mod hints;
mod inspect;
mod raws;
mod report;
mod settle;

pub(crate) use inspect::{Inspected, damage_below, inspect, is_settled};
pub(crate) use raws::{open_raw, read_on};
pub use report::{Dropped, RecoveryReport, Rewritten};
pub(crate) use settle::settle;
