//! One test for each way of being damaged.
