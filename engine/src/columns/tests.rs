//! Tests of the columns codec.

mod bodies;
mod hostile;
mod round_trip;
