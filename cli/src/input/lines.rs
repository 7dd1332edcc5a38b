//! Cutting a byte stream at line ends, with memory bounded by the longest line allowed.

use std::io::{self, BufRead, Read};

/// Longest line, without its line end. It is the engine's limit for a record, too.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 20;

/// Bytes gathered from a stream that isn't live before its lines are passed on.
const CHUNK_BYTES: usize = 512 << 10;
const READ_BYTES: usize = 128 << 10;

/// Bytes of the stream, in order and complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Whole lines with their ends; only the stream's last may have none.
    Lines(Vec<u8>),
    /// A part of a line longer than [`LINE_BYTES_MAX`]; `is_last` if the line ends with it.
    Oversize { bytes: Vec<u8>, is_last: bool },
}

/// Cuts all of `stream` and hands each piece to `take`, until that says `false`.
///
/// # Errors
/// What reading the stream fails with, after every whole line before that was handed on.
pub(crate) fn cut(stream: &mut dyn Read, is_live: bool, take: &mut dyn FnMut(Cut) -> bool) -> io::Result<()> {
    let enough = if is_live { 1 } else { CHUNK_BYTES };
    // What follows the last line end seen: no line end is in it, so only what is read next has to be searched.
    let mut buffer = Vec::new();
    let mut in_oversize = false;
    loop {
        let mut searched = buffer.len();
        let outcome = fill(stream, &mut buffer, enough);
        let at_end = !matches!(outcome, Ok(More::Yes));

        if in_oversize {
            let end = first_line_end(&buffer);
            let rest = buffer.split_off(end.unwrap_or(buffer.len()));
            in_oversize = end.is_none() && !at_end;
            if !take(Cut::Oversize { bytes: buffer, is_last: !in_oversize }) {
                return Ok(());
            }
            buffer = rest;
            searched = 0;
        }
        let whole = match outcome {
            Ok(More::No) => buffer.len(),
            _ => buffer[searched..].iter().rposition(|&byte| byte == b'\n').map_or(0, |last| searched + last + 1),
        };
        if whole > 0 {
            let rest = buffer.split_off(whole);
            if !take(Cut::Lines(buffer)) {
                return Ok(());
            }
            buffer = rest;
        }
        // One byte more than the limit may yet turn out to be the CR of the line's end.
        if buffer.len() > LINE_BYTES_MAX + 1 {
            in_oversize = true;
            if !take(Cut::Oversize { bytes: std::mem::take(&mut buffer), is_last: at_end }) {
                return Ok(());
            }
        }
        match outcome {
            Ok(More::Yes) => {}
            Ok(More::No) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The lines of a piece, each with its end.
pub(crate) fn lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = first_line_end(bytes).unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at(len);
        bytes = rest;
        (len > 0).then_some(line)
    })
}

/// The line without its LF or CRLF.
pub(crate) fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The offset after the first line end.
fn first_line_end(mut bytes: &[u8]) -> Option<usize> {
    let whole = bytes;
    // Reading from a slice can't fail; `skip_until` is the standard library's fast search.
    let len = bytes.skip_until(b'\n').unwrap_or(0);
    (len > 0 && whole[len - 1] == b'\n').then_some(len)
}

/// Whether a stream may have more to read.
enum More {
    Yes,
    No,
}

/// Reads until `enough` bytes are new in `buffer`, or all is read. What was read before an error is in `buffer`, too.
fn fill(stream: &mut dyn Read, buffer: &mut Vec<u8>, enough: usize) -> io::Result<More> {
    let before = buffer.len();
    while buffer.len() - before < enough {
        let filled = buffer.len();
        buffer.resize(filled + READ_BYTES, 0);
        let outcome = stream.read(&mut buffer[filled..]);
        buffer.truncate(filled + outcome.as_ref().copied().unwrap_or(0));
        match outcome {
            Ok(0) => return Ok(More::No),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(More::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `piece` bytes at a time, then what `end` says.
    struct Dribble<'a> {
        bytes: &'a [u8],
        piece: usize,
        end: Option<io::ErrorKind>,
    }

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.bytes.is_empty() {
                return self.end.map_or(Ok(0), |kind| Err(kind.into()));
            }
            let len = self.piece.min(buffer.len()).min(self.bytes.len());
            buffer[..len].copy_from_slice(&self.bytes[..len]);
            self.bytes = &self.bytes[len..];
            Ok(len)
        }
    }

    fn cut_all(bytes: &[u8], piece: usize, end: Option<io::ErrorKind>) -> (Vec<Cut>, bool) {
        let mut cuts = Vec::new();
        let outcome = cut(&mut Dribble { bytes, piece, end }, true, &mut |cut| {
            cuts.push(cut);
            true
        });
        (cuts, outcome.is_ok())
    }

    fn all_lines(cuts: &[Cut]) -> Vec<&[u8]> {
        let whole = cuts.iter().filter_map(|cut| match cut {
            Cut::Lines(bytes) => Some(bytes),
            Cut::Oversize { .. } => None,
        });
        whole.flat_map(|bytes| lines(bytes).map(trim_line_end)).collect()
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_arrive() {
        let text = b"one\ntwo\r\n\n\r\n  \nlast";
        let expected: [&[u8]; 6] = [b"one", b"two", b"", b"", b"  ", b"last"];
        for piece in 1..=text.len() {
            let (cuts, ok) = cut_all(text, piece, None);
            assert!(ok);
            assert_eq!(all_lines(&cuts), expected, "{piece}");
        }
        let (cuts, _) = cut_all(b"one\ntwo\n", 3, None);
        assert_eq!(all_lines(&cuts), [b"one", b"two"]);
        assert_eq!(cut_all(b"", 1, None).0, []);
    }

    #[test]
    fn an_error_comes_after_the_whole_lines_before_it_and_without_the_broken_one() {
        for piece in 1..12 {
            let (cuts, ok) = cut_all(b"one\ntwo\nhal", piece, Some(io::ErrorKind::UnexpectedEof));
            assert!(!ok);
            assert_eq!(all_lines(&cuts), [b"one", b"two"]);
        }
    }

    #[test]
    fn the_longest_line_is_whole_and_a_longer_one_comes_in_parts() {
        let mut text = b"before\n".to_vec();
        text.resize(text.len() + LINE_BYTES_MAX, b'x');
        text.extend_from_slice(b"\r\n");
        let long_starts = text.len();
        text.resize(text.len() + 2 * LINE_BYTES_MAX + 77, b'y');
        text.extend_from_slice(b"\nafter\n");

        let (cuts, ok) = cut_all(&text, READ_BYTES, None);
        assert!(ok);
        let lens: Vec<_> = all_lines(&cuts).iter().map(|line| line.len()).collect();
        assert_eq!(lens, [6, LINE_BYTES_MAX, 5]);
        let mut oversize = Vec::new();
        let mut ends = 0;
        for cut in &cuts {
            if let Cut::Oversize { bytes, is_last } = cut {
                assert!(bytes.len() <= LINE_BYTES_MAX + 2 * READ_BYTES, "memory is bounded");
                oversize.extend_from_slice(bytes);
                ends += usize::from(*is_last);
            }
        }
        assert_eq!(ends, 1);
        assert_eq!(oversize, text[long_starts..text.len() - 6]);
    }

    #[test]
    fn an_oversize_line_may_be_the_last() {
        let text = vec![b'x'; LINE_BYTES_MAX + 2];
        let (cuts, ok) = cut_all(&text, 1 << 20, None);
        assert!(ok);
        assert!(matches!(cuts.last(), Some(Cut::Oversize { is_last: true, .. })));
    }
}
