//! Statistics: records counted, and values of their fields added up, by groups. docs/statistics.md says what each means.
//!
//! Everything that is added up is the same in whatever order and parts it is: so segments are added up one by one, by
//! several threads, and what a sealed one adds is kept beside it for the next time that the same is asked.

mod answer;
mod batch;
mod blocks;
mod codec;
mod distinct;
mod field;
mod front;
mod gather;
mod quantiles;
mod question;
mod records;
mod run;
mod share;
mod streams;
mod sum;
mod tally;
mod typed;

pub use answer::{FieldStatistics, Group, GroupKey, Quantiles, Statistics, StatisticsWork};
pub use question::StatisticsQuery;
pub use streams::StoreStatistics;
