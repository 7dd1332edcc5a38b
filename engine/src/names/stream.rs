//! The names of streams, and the directories they have in a store. docs/format.md, "A store of streams".
//!
//! Any text may be a stream's name, since it may come from a record. What stands in the file system is made of lower-case
//! letters, digits, `-`, `_` and `%` alone, so no name leads anywhere else, and no two names meet on a file system that
//! ignores case or changes how letters are composed.

use super::{CATALOG, HEAD, IDENTITY, LOCK, QUARANTINE};
use crate::error::{Error, Result};
use std::fmt;

/// Longest name of a stream, in bytes of UTF-8: its directory's name has 242 at most, and file systems take 255.
const NAME_BYTES_MAX: usize = 80;
const ESCAPE: u8 = b'%';

/// Names that Windows keeps for devices, in every directory.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// Those of which there are ten, each with a digit.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];
/// Names of a log's own files and folder: a store is no log, and no directory in it is to look like a file of one.
const OF_A_LOG: [&str; 5] = [IDENTITY, LOCK, HEAD, CATALOG, QUARANTINE];

/// The name of a stream: 1 to 80 bytes of UTF-8 without control characters. Two names are the same if their bytes are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Box<str>);

impl StreamName {
    /// The name `name`.
    ///
    /// # Errors
    /// [`Error::StreamName`] if it can't be one.
    pub fn new(name: &str) -> Result<Self> {
        let refuse = |detail| Err(Error::StreamName { name: shown(name), detail });
        match name.len() {
            0 => refuse("it is empty"),
            1..=NAME_BYTES_MAX if name.chars().any(char::is_control) => refuse("it has control characters"),
            1..=NAME_BYTES_MAX => Ok(Self(name.into())),
            _ => refuse("it is longer than 80 bytes"),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the stream's directory in its store: lower-case letters, digits, `-` and `_` stand for themselves, any other
    /// byte is `%` and two hexadecimal digits, and so is the first one of a name that has a meaning of its own.
    pub fn folder(&self) -> String {
        let mut folder = String::with_capacity(self.0.len());
        for (index, byte) in self.0.bytes().enumerate() {
            if is_plain(byte) && !(index == 0 && is_reserved(&self.0)) {
                folder.push(char::from(byte));
            } else {
                folder.push_str(&format!("{}{byte:02x}", char::from(ESCAPE)));
            }
        }
        folder
    }

    /// The stream whose directory has the name `folder`; `None` for any name that [`StreamName::folder`] would not have made.
    pub(crate) fn of_folder(folder: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(folder.len());
        let mut rest = folder.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            if first != ESCAPE {
                bytes.push(first);
                rest = after;
                continue;
            }
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        }
        let name = Self::new(std::str::from_utf8(&bytes).ok()?).ok()?;
        (name.folder() == folder).then_some(name)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for StreamName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl serde::Serialize for StreamName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

fn is_reserved(name: &str) -> bool {
    let is_numbered = |device: &str| name.strip_prefix(device).is_some_and(|n| matches!(n.as_bytes(), [b'0'..=b'9']));
    DEVICES.contains(&name) || OF_A_LOG.contains(&name) || NUMBERED_DEVICES.into_iter().any(is_numbered)
}

/// The beginning of a name that may be anything, for a message.
fn shown(name: &str) -> String {
    name.chars().take(NAME_BYTES_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_are_their_directories() {
        for name in ["web", "payments-eu", "tenant_42", "-", "0"] {
            assert_eq!(StreamName::new(name).unwrap().folder(), name);
        }
        assert_eq!(StreamName::new("Api.v1").unwrap().folder(), "%41pi%2ev1");
    }

    #[test]
    fn no_name_leads_out_of_the_store() {
        for (name, folder) in [
            (".", "%2e"),
            ("..", "%2e%2e"),
            ("../web", "%2e%2e%2fweb"),
            ("/etc/passwd", "%2fetc%2fpasswd"),
            ("a/b", "a%2fb"),
            ("a\\b", "a%5cb"),
            ("c:x", "c%3ax"),
            ("~", "%7e"),
            ("%2e%2e", "%252e%252e"),
            ("web ", "web%20"),
            ("web.", "web%2e"),
            ("con", "%63on"),
            ("com7", "%63om7"),
            ("com77", "com77"),
            ("nul.txt", "nul%2etxt"),
            ("lock", "%6cock"),
            ("identity", "%69dentity"),
            ("store.id", "store%2eid"),
        ] {
            let stream = StreamName::new(name).unwrap();
            assert_eq!(stream.folder(), folder);
            assert_eq!(StreamName::of_folder(folder), Some(stream));
        }
    }

    #[test]
    fn names_that_can_be_none_are_refused() {
        let long = "x".repeat(81);
        for name in ["", "\0", "web\0", "a\nb", "\u{1b}[2J", "\u{85}", &long] {
            let refused = StreamName::new(name);
            assert!(matches!(refused, Err(Error::StreamName { .. })), "{name:?}");
        }
        assert!(StreamName::new(&long[1..]).is_ok());
        assert!(
            !StreamName::new("\u{1b}[2J").unwrap_err().to_string().contains('\u{1b}'),
            "nothing reaches a terminal"
        );
    }

    #[test]
    fn letters_composed_otherwise_are_other_names_in_ascii() {
        let composed = StreamName::new("caf\u{e9}").unwrap();
        let decomposed = StreamName::new("cafe\u{301}").unwrap();
        assert_ne!(composed, decomposed);
        assert_eq!((composed.folder(), decomposed.folder()), ("caf%c3%a9".into(), "cafe%cc%81".into()));
    }

    #[test]
    fn directories_of_other_spellings_are_no_streams() {
        for folder in ["", "Web", "web.", "%57", "%5", "%zz", "%+1", "con", "%6c%6f", "%2E", "%ff", "%0a", "a b", "ä"]
        {
            let expected = (folder == "%57").then(|| StreamName::new("W").unwrap());
            assert_eq!(StreamName::of_folder(folder), expected, "{folder}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back_and_meets_no_other(a in "[a-cA-C%./ é\u{301}conlpt1-]{1,9}", b in "[a-cA-C%./ é\u{301}conlpt1-]{1,9}") {
            let [a, b] = [a, b].map(|name| StreamName::new(&name).unwrap());
            for name in [&a, &b] {
                let folder = name.folder();
                prop_assert!(folder.bytes().all(|byte| is_plain(byte) || byte == ESCAPE), "{}", folder);
                prop_assert!(!is_reserved(&folder));
                prop_assert_eq!(StreamName::of_folder(&folder), Some(name.clone()));
            }
            prop_assert_eq!(a == b, a.folder().to_lowercase() == b.folder().to_lowercase());
        }

        #[test]
        fn the_longest_names_have_directories(name in "\\PC{1,80}") {
            if let Ok(name) = StreamName::new(&name) {
                prop_assert!(name.folder().len() <= 242);
                prop_assert_eq!(StreamName::of_folder(&name.folder()), Some(name));
            }
        }

        #[test]
        fn any_directory_is_one_stream_or_none(folder in "[a-z%0-9A-F.]{1,12}") {
            prop_assert!(StreamName::of_folder(&folder).is_none_or(|name| name.folder() == folder));
        }
    }
}
