//! Doubles on their way into a tally: some thousands at a time are sorted by groups, and each group adds up its own at once.

use super::tally::Tally;

/// Doubles of a field that wait, at most, besides those that come with the last of them.
const WAITING_MAX: usize = 1 << 12;

/// Doubles that wait, by the number of their field. They are of groups of one tally, by its [`Tally::place`]s.
#[derive(Debug)]
pub(super) struct Batch {
    waiting: Vec<Vec<(usize, f64)>>,
    /// Where the doubles of each group end, once they are sorted.
    ends: Vec<usize>,
    sorted: Vec<f64>,
    term: Vec<u8>,
}

impl Batch {
    pub(super) fn new(fields: usize) -> Self {
        Self { waiting: vec![Vec::new(); fields], ends: Vec::new(), sorted: Vec::new(), term: Vec::new() }
    }

    /// Adds a double, which is finite.
    #[inline]
    pub(super) fn push(&mut self, field: usize, place: usize, value: f64, tally: &mut Tally) {
        self.waiting[field].push((place, value));
        if self.waiting[field].len() >= WAITING_MAX {
            self.settle_field(field, tally);
        }
    }

    /// Adds a double for each of `places`, as [`Batch::push`].
    pub(super) fn extend(&mut self, field: usize, places: &[usize], values: &[f64], tally: &mut Tally) {
        self.waiting[field].extend(places.iter().copied().zip(values.iter().copied()));
        if self.waiting[field].len() >= WAITING_MAX {
            self.settle_field(field, tally);
        }
    }

    /// Adds all that wait to the tally.
    pub(super) fn settle(&mut self, tally: &mut Tally) {
        (0..self.waiting.len()).for_each(|field| self.settle_field(field, tally));
    }

    fn settle_field(&mut self, field: usize, tally: &mut Tally) {
        let Self { waiting, ends, sorted, term } = self;
        let waiting = &mut waiting[field];
        let groups = tally.places();
        if groups > waiting.len() {
            waiting.drain(..).for_each(|(place, value)| tally.at(place).fields[field].add_floats(&[value], term));
            return;
        }
        // First how many each group has, then where they begin; each that is put there moves that on to where they end.
        ends.clear();
        ends.resize(groups, 0);
        waiting.iter().for_each(|(place, _)| ends[*place] += 1);
        let mut begin = 0;
        for end in ends.iter_mut() {
            (*end, begin) = (begin, begin + *end);
        }
        sorted.clear();
        sorted.resize(waiting.len(), 0.0);
        for (place, value) in waiting.drain(..) {
            sorted[ends[place]] = value;
            ends[place] += 1;
        }
        let mut from = 0;
        for (place, end) in ends.iter().enumerate() {
            tally.at(place).fields[field].add_floats(&sorted[from..*end], term);
            from = *end;
        }
    }
}
