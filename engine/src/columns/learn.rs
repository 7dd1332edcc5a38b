//! Learning a dictionary from the records of a segment: what repeats, and what is worth an entry.

use super::dictionary::{COLUMNS_MAX, Column, Dictionary, FLAG_REFERS, FLAG_TEXT, ROOT, SLOTS_MAX, Spelling};
use super::encode::{Encoder, add_ref};
use super::entry::Spelled;
use super::hash::Map;
use super::keys::{self, Children};
use super::survey::{Kind, Survey, Value};
use super::text::Mentions;
use super::{Meta, reference};
use std::collections::VecDeque;

/// A record to learn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) time: i64,
    pub(crate) body: &'a [u8],
}

/// How much is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LearnOptions {
    /// About how many records a block will have.
    pub(crate) block_records: usize,
    /// Most bytes of all literals.
    pub(crate) literal_bytes: usize,
    /// Most bytes of the dictionary that zstd is given; 0 for none.
    pub(crate) content_bytes: usize,
    /// The zstd level of the blocks.
    pub(crate) level: i32,
}

/// A value in a record: which record, and its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instance<'a> {
    pub(super) record: u32,
    pub(super) bytes: &'a [u8],
}

/// Texts of this many bytes on average may refer to others.
const REFERS_BYTES_MIN: usize = 48;

/// Columns that are kept free for the lines of texts.
const RESERVE: usize = COLUMNS_MAX / 4;

/// A dictionary for the segment that `samples` are of, or are taken from; `None` if there is nothing to learn.
pub(crate) fn learn(samples: &[Sample<'_>], options: &LearnOptions) -> Option<Dictionary> {
    let mut learner = Learner {
        samples,
        options,
        dictionary: Dictionary::default(),
        children: Map::default(),
        queue: VecDeque::new(),
        shapes: Map::default(),
        known: Map::default(),
        planned_slots: 0,
    };
    learner.column(0);
    let records = (0..).zip(samples);
    let instances = records.map(|(record, sample)| Instance { record, bytes: sample.body }).collect();
    learner.queue.push_back((ROOT, instances));
    while let Some((column, instances)) = learner.queue.pop_front() {
        learner.learn_column(column, &instances)?;
    }
    let mut dictionary = learner.dictionary;
    if dictionary.columns[ROOT as usize].active == 0 {
        return None;
    }
    reference::choose(&mut dictionary, samples, options);
    dictionary.content = content(&dictionary, samples, options);
    Some(dictionary)
}

struct Learner<'a, 'o> {
    samples: &'a [Sample<'a>],
    options: &'o LearnOptions,
    dictionary: Dictionary,
    /// The columns below each: by the column and the key.
    children: Map<(u32, &'a [u8]), u32>,
    queue: VecDeque<(u32, Vec<Instance<'a>>)>,
    /// Slots of patterns that were accepted and have no entry yet.
    planned_slots: usize,
    /// The columns of the shapes of records, by their keys.
    shapes: Map<Vec<u8>, Vec<u32>>,
    /// The columns of the keys of other records.
    known: Map<&'a [u8], u32>,
}

impl<'a> Learner<'a, '_> {
    /// A new column.
    fn column(&mut self, flags: u8) -> u32 {
        self.dictionary.columns.push(Column { flags, ..Column::default() });
        self.dictionary.columns.len() as u32 - 1
    }

    fn learn_column(&mut self, id: u32, instances: &[Instance<'a>]) -> Option<()> {
        let flags = self.dictionary.columns[id as usize].flags;
        let mut survey = Survey::new(id == ROOT, flags & FLAG_TEXT != 0);
        for instance in instances {
            survey.count(*instance);
        }
        let find = &mut |record, refs: &mut Mentions| self.find_refs(record, refs);
        survey.classify(if flags & FLAG_REFERS != 0 { Some(find) } else { None });
        self.planned_slots = 0;
        let room = self.options.literal_bytes.saturating_sub(self.dictionary.bytes.len());
        let blocks = self.samples.len().div_ceil(self.options.block_records.max(1));
        let plan = survey.decide(room, blocks, &mut |kind| match kind {
            Kind::Shape(_, example) => self.children_of(id, example).is_some(),
            Kind::Text(key, _) => self.has_room(key),
        });
        for pattern in &plan.patterns {
            match survey.pattern(*pattern) {
                Kind::Shape(key, example) => {
                    let columns = self.children_of(id, example)?;
                    self.dictionary.push(id, &keys::spell_shape(key, &columns)?)?;
                    if id == ROOT {
                        self.shapes.insert(key.to_vec(), columns);
                    }
                }
                Kind::Text(key, digits) => {
                    let parts = keys::spell_text(key, &mut digits.iter().copied())?;
                    self.dictionary.push(id, &Spelling::Text(parts))?;
                }
            }
        }
        let known = plan.known.iter().map(|key| Some((*key, self.child(id, key, 0)?)));
        if let Some(known) = known.collect::<Option<Vec<_>>>().filter(|known| !known.is_empty()) {
            if id == ROOT {
                self.known.extend(known.iter().copied());
            }
            self.dictionary.push(id, &Spelling::Map(known))?;
        }
        if plan.int {
            self.dictionary.push(id, &Spelling::Int)?;
        }
        if let Some(scale) = plan.scale {
            self.dictionary.push(id, &Spelling::Decimal(scale))?;
        }
        if plan.float {
            self.dictionary.push(id, &Spelling::Float)?;
        }
        let lines = plan.lines.then(|| self.child(id, b"\n", FLAG_TEXT | flags & FLAG_REFERS)).flatten();
        if let Some(column) = lines {
            self.dictionary.push(id, &Spelling::Lines(column))?;
        }
        if plan.word {
            let word = Spelled::Slot(super::entry::Print::Word);
            self.dictionary.push(id, &Spelling::Text(vec![word]))?;
        }
        for literal in &plan.literals {
            self.dictionary.push(id, &Spelling::Literal(survey.bytes(*literal)))?;
        }
        self.descend(id, instances, &survey, lines)
    }

    /// The columns of the values of a map or an array of the column `parent`; `None` if there can't be so many.
    fn children_of(&mut self, parent: u32, example: &'a [u8]) -> Option<Vec<u32>> {
        let (mut spare, mut ranges) = (Vec::new(), Children::new());
        keys::of_shape(example, &mut spare, &mut ranges)?;
        if self.dictionary.columns.len() + ranges.len() > COLUMNS_MAX - RESERVE {
            return None;
        }
        ranges.iter().map(|(own, _)| self.child(parent, &example[own.clone()], 0)).collect()
    }

    /// Whether there is room for the slots of a text with this key, too.
    fn has_room(&mut self, key: &[u8]) -> bool {
        self.planned_slots += key.iter().filter(|byte| **byte == 0xFF).count();
        self.dictionary.slots.len() + self.planned_slots < SLOTS_MAX - COLUMNS_MAX * 2 - RESERVE
    }

    /// The column of what stands at `key` below `parent`.
    fn child(&mut self, parent: u32, key: &'a [u8], flags: u8) -> Option<u32> {
        if let Some(known) = self.children.get(&(parent, key)) {
            return Some(*known);
        }
        let column = (self.dictionary.columns.len() < COLUMNS_MAX).then(|| self.column(flags))?;
        self.children.insert((parent, key), column);
        Some(column)
    }

    /// Hands what is inside the values of a column to the columns below it.
    fn descend(&mut self, id: u32, instances: &[Instance<'a>], survey: &Survey<'a>, lines: Option<u32>) -> Option<()> {
        let first = self.children.iter().filter(|((parent, _), _)| *parent == id).map(|(_, child)| *child).min();
        let Some(first) = first else { return Some(()) };
        let mut below: Vec<Vec<Instance<'a>>> = vec![Vec::new(); self.dictionary.columns.len() - first as usize];
        let (mut key, mut ranges) = (Vec::new(), Children::new());
        for (n, instance) in instances.iter().enumerate() {
            match survey.value(n) {
                Value::Shape => {
                    keys::of_shape(instance.bytes, &mut key, &mut ranges)?;
                    for (own, value) in &ranges {
                        let child = self.children.get(&(id, &instance.bytes[own.clone()]))?;
                        let bytes = &instance.bytes[value.clone()];
                        below[(child - first) as usize].push(Instance { record: instance.record, bytes });
                    }
                }
                Value::Map => {
                    keys::of_shape(instance.bytes, &mut key, &mut ranges)?;
                    for (own, value) in &ranges {
                        let Some(child) = self.children.get(&(id, &instance.bytes[own.clone()])) else { continue };
                        let bytes = &instance.bytes[value.clone()];
                        below[(child - first) as usize].push(Instance { record: instance.record, bytes });
                    }
                }
                Value::Lines => {
                    let Some(column) = lines else { continue };
                    let text = keys::text_of(instance.bytes)?;
                    for bytes in text.split(|byte| *byte == b'\n') {
                        below[(column - first) as usize].push(Instance { record: instance.record, bytes });
                    }
                }
                Value::Other => {}
            }
        }
        for (child, instances) in (first..).zip(below) {
            if id == ROOT && text_bytes(&instances) >= REFERS_BYTES_MIN {
                self.dictionary.columns[child as usize].flags |= FLAG_REFERS;
            }
            self.queue.push_back((child, instances));
        }
        Some(())
    }

    /// Looks for the texts of a record that others may refer to.
    fn find_refs(&self, record: u32, refs: &mut Mentions) {
        refs.clear();
        let (mut key, mut ranges) = (Vec::new(), Children::new());
        let body = self.samples[record as usize].body;
        if keys::of_shape(body, &mut key, &mut ranges).is_none() {
            return;
        }
        let columns = self.shapes.get(&key);
        for (n, (own, range)) in ranges.iter().enumerate() {
            let column = match columns {
                Some(columns) => columns.get(n),
                None => self.known.get(&body[own.clone()]),
            };
            if let Some(column) = column.filter(|column| !self.dictionary.columns[**column as usize].refers()) {
                add_ref(refs, *column, &body[range.clone()]);
            }
        }
    }
}

/// How long the texts among `instances` are on average.
fn text_bytes(instances: &[Instance<'_>]) -> usize {
    let step = instances.len().div_ceil(256).max(1);
    let texts = || instances.iter().step_by(step).filter_map(|instance| keys::text_of(instance.bytes));
    texts().map(<[u8]>::len).sum::<usize>() / texts().count().max(1)
}

/// What zstd is given as a dictionary for the blocks.
fn content(dictionary: &Dictionary, samples: &[Sample<'_>], options: &LearnOptions) -> Vec<u8> {
    /// Blocks that are tried.
    const BLOCKS: usize = 64;
    if options.content_bytes == 0 {
        return Vec::new();
    }
    let Ok(mut encoder) = Encoder::new(dictionary, options.level) else { return Vec::new() };
    let blocks: Vec<&[Sample<'_>]> = samples.chunks(options.block_records.max(1)).collect();
    let mut parts = Vec::new();
    for block in blocks.iter().step_by(blocks.len().div_ceil(BLOCKS).max(1)) {
        for sample in *block {
            encoder.push(sample.time, &Meta { kind: super::KIND_USER, flags: 0, key: &[] }, sample.body);
        }
        parts.push(encoder.parts().0);
    }
    // Learned from half of them and tried on the other half.
    let (learned, tried): (Vec<_>, Vec<_>) = parts.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let learned: Vec<&[u8]> = learned.into_iter().map(|(_, part)| &part[..]).collect();
    let Ok(content) = zstd::dict::from_samples(&learned, options.content_bytes) else { return Vec::new() };
    let bytes = |content: &[u8]| -> Option<usize> {
        let mut compressor = zstd::bulk::Compressor::with_dictionary(options.level, content).ok()?;
        tried.iter().map(|(_, part)| compressor.compress(part).ok().map(|bytes| bytes.len())).sum()
    };
    match (bytes(&content), bytes(&[])) {
        (Some(with), Some(without)) => {
            let saved = without.saturating_sub(with) * blocks.len() / tried.len().max(1);
            if saved > 2 * content.len() { content } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}
