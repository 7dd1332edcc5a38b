//! Whether so many append at once that it pays to write several chunks beside each other.
//!
//! One chunk at a time goes on in the block that the one before has begun. A chunk that is written beside others ends with a full block,
//! most of it zeros where appends are small: it waits less and takes more bytes, of which each is prepared, written, read and
//! freed again. docs/decisions/0011-direct-writes.md has what both cost.

/// From so many appends on that are being written when a chunk takes off, chunks are written beside each other.
const CROWD: u32 = 6 * ONE;
/// The same where chunks are so large that little of them is zeros.
const CROWD_OF_LARGE: u32 = 3 * ONE / 2;
/// The mean is kept in parts.
const ONE: u32 = 256;

/// The appends that are being written.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    in_the_air: u32,
    /// The mean of the last times that a chunk took off, in parts of `ONE`.
    mean: u32,
}

impl Crowd {
    /// A chunk of so many appends takes off.
    pub(super) fn takes_off(&mut self, appends: u32) {
        /// More make no difference, and their mean would be long in coming down.
        const APPENDS_MAX: u32 = 16;
        self.in_the_air += appends;
        self.mean = (self.mean * 7 + self.in_the_air.min(APPENDS_MAX) * ONE) / 8;
    }

    /// A chunk of so many appends has landed.
    pub(super) fn landed(&mut self, appends: u32) {
        self.in_the_air = self.in_the_air.saturating_sub(appends);
    }

    /// Whether a chunk should make room for others beside it.
    pub(super) fn is_crowd(&self, is_large: bool) -> bool {
        self.mean >= if is_large { CROWD_OF_LARGE } else { CROWD }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks of so many appends, one at a time.
    fn take_turns(crowd: &mut Crowd, chunks: &[u32]) {
        for appends in chunks {
            crowd.takes_off(*appends);
            crowd.landed(*appends);
        }
    }

    #[test]
    fn four_threads_that_take_turns_are_one_only_if_they_write_much() {
        let mut crowd = Crowd::default();
        take_turns(&mut crowd, &[1, 3].repeat(20));
        assert!(!crowd.is_crowd(false) && crowd.is_crowd(true));
        take_turns(&mut crowd, &[1; 20]);
        assert!(!crowd.is_crowd(true));
    }

    #[test]
    fn a_crowd_is_one_while_it_lasts() {
        let mut crowd = Crowd::default();
        take_turns(&mut crowd, &[8; 20]);
        assert!(crowd.is_crowd(false));
        // Beside each other now, in smaller chunks.
        (0..4).for_each(|_| crowd.takes_off(2));
        for _ in 0..100 {
            crowd.landed(2);
            crowd.takes_off(2);
            assert!(crowd.is_crowd(false));
        }
        (0..4).for_each(|_| crowd.landed(2));
        take_turns(&mut crowd, &[1; 20]);
        assert!(!crowd.is_crowd(false));
    }
}
