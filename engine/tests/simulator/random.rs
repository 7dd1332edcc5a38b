//! Random choices, all of them from one seed.

#[path = "../random/mod.rs"]
mod numbers;

/// Numbers that choose, in sizes.
#[derive(Debug, Clone)]
pub(crate) struct Random(numbers::Random);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(numbers::Random(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in `of` of a hundred cases.
    pub(crate) fn percent(&mut self, of: usize) -> bool {
        self.below(100) < of
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A seed for part `n` of what `seed` decides.
pub(crate) fn derive(seed: u64, n: u64) -> u64 {
    Random::new(seed ^ Random::new(n).next()).next()
}
