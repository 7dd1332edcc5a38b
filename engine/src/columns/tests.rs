//! Tests of the columns codec.

mod bodies;
mod hostile;
#[cfg(feature = "json")]
mod measure;
mod round_trip;
