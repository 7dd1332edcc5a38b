//! What was computed of records that are not sealed, in memory for whoever asks the same again: bytes, by question and by where the
//! records are. Records that are visible never change, so it stays true; whatever is not here is computed again.

use crate::FileId;
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// Most answers. Where there are more, those that were kept first go.
const ANSWERS_MAX: usize = 256;

/// Most bytes of all answers.
const BYTES_MAX: usize = 2 << 20;

/// Answers about raw segments, for all readers of a log.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    answers: Mutex<VecDeque<Answer>>,
}

#[derive(Debug)]
struct Answer {
    question: [u8; 32],
    segment: FileId,
    seqs: Range<u64>,
    bytes: Arc<[u8]>,
}

impl Answer {
    /// Whether it is about the records from `first_seq` on, of that segment.
    fn is_of(&self, question: &[u8; 32], segment: FileId, first_seq: u64) -> bool {
        self.question == *question && self.segment == segment && self.seqs.start == first_seq
    }
}

impl Remembered {
    /// The answer about the first of the records `seqs` of `segment`, and the seq after the last of those.
    pub(crate) fn get(&self, question: &[u8; 32], segment: FileId, seqs: &Range<u64>) -> Option<(u64, Arc<[u8]>)> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.iter().find(|answer| answer.is_of(question, segment, seqs.start))?;
        (answer.seqs.end <= seqs.end).then(|| (answer.seqs.end, Arc::clone(&answer.bytes)))
    }

    /// Keeps the answer about the records `seqs` of `segment`, unless there is one about more of them.
    pub(crate) fn put(&self, question: [u8; 32], segment: FileId, seqs: Range<u64>, bytes: Vec<u8>) {
        if bytes.len() > BYTES_MAX {
            return;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = answers.iter().position(|answer| answer.is_of(&question, segment, seqs.start)) {
            if answers[at].seqs.end > seqs.end {
                return;
            }
            answers.remove(at);
        }
        answers.push_back(Answer { question, segment, seqs, bytes: bytes.into() });
        let mut total: usize = answers.iter().map(|answer| answer.bytes.len()).sum();
        while total > BYTES_MAX || answers.len() > ANSWERS_MAX {
            total -= answers.pop_front().map_or(total, |first| first.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: [u8; 32] = [1; 32];
    const SEGMENT: FileId = FileId([2; 16]);

    fn end(remembered: &Remembered, seqs: Range<u64>) -> Option<u64> {
        remembered.get(&QUESTION, SEGMENT, &seqs).map(|(end, _)| end)
    }

    #[test]
    fn an_answer_is_about_no_more_than_is_asked() {
        let remembered = Remembered::default();
        remembered.put(QUESTION, SEGMENT, 5..9, vec![1]);
        assert_eq!((end(&remembered, 5..9), end(&remembered, 5..20)), (Some(9), Some(9)));
        assert_eq!((end(&remembered, 5..8), end(&remembered, 4..20)), (None, None));
        assert!(remembered.get(&[0; 32], SEGMENT, &(5..20)).is_none());
        assert!(remembered.get(&QUESTION, FileId([0; 16]), &(5..20)).is_none());
        remembered.put(QUESTION, SEGMENT, 5..7, vec![2]);
        assert_eq!(end(&remembered, 5..20), Some(9));
        remembered.put(QUESTION, SEGMENT, 5..11, vec![3]);
        assert_eq!(remembered.get(&QUESTION, SEGMENT, &(5..20)).unwrap(), (11, [3].into()));
    }

    #[test]
    fn the_oldest_make_room() {
        let remembered = Remembered::default();
        for first in 0..300 {
            remembered.put(QUESTION, SEGMENT, first..1_000, vec![0]);
        }
        assert_eq!((end(&remembered, 43..1_000), end(&remembered, 44..1_000)), (None, Some(1_000)));
        remembered.put(QUESTION, SEGMENT, 0..1_000, vec![0; BYTES_MAX - 1]);
        assert_eq!((end(&remembered, 298..1_000), end(&remembered, 299..1_000)), (None, Some(1_000)));
        remembered.put(QUESTION, SEGMENT, 1..1_000, vec![0; BYTES_MAX + 1]);
        assert_eq!((end(&remembered, 1..1_000), end(&remembered, 0..1_000)), (None, Some(1_000)));
    }
}
