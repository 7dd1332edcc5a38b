//! Index files of an Annals log.
#![warn(missing_docs)]
