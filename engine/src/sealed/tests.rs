//! Tests of sealed files: what goes in comes out, and every way of being damaged.

mod cache;
#[cfg(feature = "json")]
mod codecs;
mod damage;
mod fixture;
mod hostile;
mod indexes;
mod round_trip;
#[cfg(feature = "json")]
mod sweep;
