//! Names of columns that no reader confuses: not empty, not reserved, not equal but for case.

use std::collections::HashSet;

/// Columns the exporter adds itself.
pub(crate) const STREAM: &str = "_stream";
pub(crate) const SEQ: &str = "_seq";
pub(crate) const TIME: &str = "_time";
pub(crate) const EXTRA: &str = "_extra";
pub(crate) const JSON: &str = "_json";

/// Names a top-level key can't have, however it is cased.
pub(crate) const RESERVED: [&str; 4] = [SEQ, TIME, EXTRA, JSON];
/// The same where the records are those of streams.
pub(crate) const RESERVED_OF_STREAMS: [&str; 5] = [STREAM, SEQ, TIME, EXTRA, JSON];

/// One name for each key, in the same order.
///
/// The first of several keys that differ only in case keeps its name. Every other one, like a key that is empty or
/// `reserved`, gets the first of `_2`, `_3`, … appended that makes it different from all keys and all names.
pub(crate) fn unique_names(keys: &[&str], reserved: &[&str]) -> Vec<String> {
    let all: HashSet<String> = keys.iter().chain(reserved).map(|key| key.to_lowercase()).collect();
    let mut taken: HashSet<String> = reserved.iter().map(|name| (*name).to_owned()).collect();
    taken.insert(String::new());
    let mut unique = Vec::with_capacity(keys.len());
    for key in keys {
        let name = match taken.insert(key.to_lowercase()) {
            true => (*key).to_owned(),
            false => {
                let free = (2u64..).map(|n| format!("{key}_{n}")).find(|name| {
                    let folded = name.to_lowercase();
                    !all.contains(&folded) && taken.insert(folded)
                });
                free.unwrap_or_default()
            }
        };
        unique.push(name);
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay() {
        assert_eq!(unique_names(&["a", "id.orig_h", "@t", "é"], &RESERVED), ["a", "id.orig_h", "@t", "é"]);
    }

    #[test]
    fn the_first_of_names_that_differ_only_in_case_stays() {
        assert_eq!(unique_names(&["User", "user", "USER"], &RESERVED), ["User", "user_2", "USER_3"]);
        assert_eq!(unique_names(&["É", "é"], &[]), ["É", "é_2"]);
    }

    #[test]
    fn a_suffix_avoids_names_that_are_there() {
        assert_eq!(unique_names(&["a", "A", "a_2", "A_3"], &[]), ["a", "A_4", "a_2", "A_3"]);
    }

    #[test]
    fn empty_and_reserved_names_get_a_suffix() {
        assert_eq!(unique_names(&["", "_seq", "_Time", "_2"], &RESERVED), ["_3", "_seq_2", "_Time_2", "_2"]);
        assert_eq!(unique_names(&["_json", "_extra"], &RESERVED), ["_json_2", "_extra_2"]);
        assert_eq!(unique_names(&["_seq"], &[]), ["_seq"]);
        assert_eq!(unique_names(&["_stream"], &RESERVED), ["_stream"]);
        assert_eq!(unique_names(&["_Stream", "_stream_2"], &RESERVED_OF_STREAMS), ["_Stream_3", "_stream_2"]);
    }
}
