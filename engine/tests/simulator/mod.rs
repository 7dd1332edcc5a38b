//! The simulator: random walks over a log on a simulated disk, crashed at every call in many ways.

pub(crate) mod asking;
pub(crate) mod explore;
pub(crate) mod faults;
pub(crate) mod frames;
pub(crate) mod image;
pub(crate) mod kept;
pub(crate) mod model;
pub(crate) mod once;
pub(crate) mod random;
pub(crate) mod repairing;
pub(crate) mod replay;
pub(crate) mod retaining;
pub(crate) mod tree;
pub(crate) mod walk;
