//! The simulator: random walks over a log on a simulated disk, crashed at every call in many ways.

pub(crate) mod explore;
pub(crate) mod faults;
pub(crate) mod frames;
pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod random;
pub(crate) mod replay;
pub(crate) mod walk;
