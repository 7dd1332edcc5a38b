//! Typed Parquet datasets from an Annals log.
#![forbid(unsafe_code)]
