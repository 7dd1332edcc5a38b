//! The fields of an object: ordered by first appearance, found by guess first and by hash when the guess fails.

use super::{KEY_BYTES_PER_WEIGHT, Node};
use std::cmp::Ordering;
use std::collections::HashMap;

/// No field.
const NONE: u32 = u32::MAX;

/// Up to so many fields a scan beats hashing.
const SCAN_MAX: usize = 8;

/// One key of an object and the values seen there.
#[derive(Debug, Clone)]
pub struct Field {
    name: Box<str>,
    pub(super) node: Node,
    pub(super) duplicated: bool,
    /// The object in which this key was seen last.
    object: u64,
    /// The field that followed this one last time.
    next: u32,
}

impl Field {
    pub(super) fn new(name: &str, node: Node, duplicated: bool) -> Self {
        Self { name: name.into(), node, duplicated, object: 0, next: NONE }
    }

    /// The key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The values.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether some object held this key more than once.
    pub fn is_duplicated(&self) -> bool {
        self.duplicated
    }

    /// What this field adds to the weight of its object.
    pub(super) fn weight(&self) -> u64 {
        self.node.weight().saturating_add(key_weight(&self.name))
    }
}

/// A position in [`Fields`], or before the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor(u32);

impl Cursor {
    pub(super) const START: Cursor = Cursor(NONE);
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    list: Vec<Field>,
    /// Empty while a scan is faster.
    by_name: HashMap<Box<str>, u32>,
    /// The field that came first last time.
    first: u32,
}

impl Default for Fields {
    fn default() -> Self {
        Self { list: Vec::new(), by_name: HashMap::new(), first: NONE }
    }
}

impl Fields {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn as_slice(&self) -> &[Field] {
        &self.list
    }

    pub(super) fn at(&mut self, cursor: Cursor) -> &mut Field {
        &mut self.list[cursor.0 as usize]
    }

    /// Finds `name`, guessing that it follows `before` as it did last time.
    #[inline]
    pub(super) fn find_after(&mut self, before: Cursor, name: &str) -> Option<Cursor> {
        let guess = *self.follower(before);
        if let Some(field) = self.list.get(guess as usize)
            && *field.name == *name
        {
            return Some(Cursor(guess));
        }
        let found = self.find(name)?;
        *self.follower(before) = found.0;
        Some(found)
    }

    pub(super) fn find(&self, name: &str) -> Option<Cursor> {
        if self.by_name.is_empty() {
            return self.list.iter().position(|field| *field.name == *name).map(|at| Cursor(at as u32));
        }
        self.by_name.get(name).map(|&at| Cursor(at))
    }

    /// Adds a field that is not there yet.
    pub(super) fn push(&mut self, mut field: Field) -> Cursor {
        let at = self.list.len() as u32;
        field.next = NONE;
        if self.by_name.is_empty() && self.list.len() >= SCAN_MAX {
            self.by_name = self.list.iter().zip(0..).map(|(field, at)| (field.name.clone(), at)).collect();
        }
        if !self.by_name.is_empty() {
            self.by_name.insert(field.name.clone(), at);
        }
        self.list.push(field);
        Cursor(at)
    }

    /// Notes that the field at `cursor` occurs in `object`.
    #[inline]
    pub(super) fn mark(&mut self, cursor: Cursor, object: u64) -> &mut Field {
        let field = self.at(cursor);
        field.duplicated |= field.object == object;
        field.object = object;
        field
    }

    /// Takes out the field whose name ranks last. Cursors are void afterwards.
    pub(super) fn remove_last_ranked(&mut self) -> Option<Field> {
        let last = (0..self.list.len()).max_by(|&a, &b| rank(&self.list[a].name, &self.list[b].name))?;
        let removed = self.list.remove(last);
        self.forget_positions();
        Some(removed)
    }

    /// Takes out every field whose name does not rank before `ceiling`. Cursors are void afterwards.
    pub(super) fn retain_below(&mut self, ceiling: &str) {
        let before = self.list.len();
        self.list.retain(|field| rank(&field.name, ceiling).is_lt());
        if self.list.len() != before {
            self.forget_positions();
        }
    }

    #[inline]
    fn follower(&mut self, before: Cursor) -> &mut u32 {
        match self.list.get_mut(before.0 as usize) {
            Some(field) => &mut field.next,
            None => &mut self.first,
        }
    }

    fn forget_positions(&mut self) {
        self.first = NONE;
        self.by_name.clear();
        for field in &mut self.list {
            field.next = NONE;
        }
        if self.list.len() > SCAN_MAX {
            self.by_name = self.list.iter().zip(0..).map(|(field, at)| (field.name.clone(), at)).collect();
        }
    }
}

/// The order in which top-level keys are kept when there are too many.
pub(super) fn rank(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// What the length of a key adds to a weight.
fn key_weight(name: &str) -> u64 {
    (name.len() / KEY_BYTES_PER_WEIGHT) as u64
}
