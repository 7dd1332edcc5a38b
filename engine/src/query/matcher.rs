//! Conditions made ready to be asked of many records.

use super::condition::{Comparison, Condition};
use super::parse::{ConditionError, DEPTH_MAX};
use super::path::FieldPath;
use super::trie::Trie;
use super::value::{Cell, Inner, Value};
use super::walk::walk;
use crate::msgpack::MsgPackError;
use std::cmp::Ordering;
use std::collections::HashSet;

/// Most comparisons in one condition.
const LEAVES_MAX: usize = 1 << 16;

/// From so many values on, those of `in` are hashed.
const HASHED_FROM: usize = 8;

/// How deep the tree of a condition may be: each pair of parentheses makes up to three levels.
const TREE_DEPTH_MAX: usize = DEPTH_MAX * 4;

/// A condition that is ready to be asked of many bodies.
///
/// ```
/// let condition: annals::Condition = "ok = true".parse()?;
/// let mut matcher = annals::Matcher::new(&condition)?;
/// assert!(matcher.matches(&[0x81, 0xA2, b'o', b'k', 0xC3])?); // {"ok":true}
/// assert!(!matcher.matches(&[0x80])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Matcher {
    trie: Trie,
    /// The leaves that look at the values of each node of the trie.
    at: Vec<Vec<usize>>,
    leaves: Vec<Test>,
    tree: Tree,
    /// Which leaves hold for the record at hand.
    held: Vec<bool>,
    term: Vec<u8>,
}

/// How leaves make up the condition.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(usize),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
}

/// What is asked of a value.
#[derive(Debug, Clone)]
enum Test {
    Compare(Comparison, Value),
    OneOf(Vec<Value>),
    /// The terms of the values.
    OneOfMany(HashSet<Box<[u8]>>),
    Prefix(String),
    Exists,
}

impl Matcher {
    /// Makes `condition` ready.
    ///
    /// # Errors
    /// [`ConditionError`] if it nests deeper than 256 levels, or makes more than 65,536 comparisons.
    pub fn new(condition: &Condition) -> Result<Self, ConditionError> {
        let mut matcher = Self {
            trie: Trie::default(),
            at: Vec::new(),
            leaves: Vec::new(),
            tree: Tree::All(Vec::new()),
            held: Vec::new(),
            term: Vec::new(),
        };
        matcher.tree = matcher.tree(condition, 0)?;
        matcher.held.resize(matcher.leaves.len(), false);
        Ok(matcher)
    }

    /// Whether the condition holds for the record with this body: a MessagePack map.
    ///
    /// # Errors
    /// [`MsgPackError`] if the body is none.
    pub fn matches(&mut self, body: &[u8]) -> Result<bool, MsgPackError> {
        self.held.fill(false);
        let Self { trie, at, leaves, tree, held, term } = self;
        walk(trie, body, &mut |node, cell| {
            for &leaf in &at[node] {
                held[leaf] = held[leaf] || leaves[leaf].holds(cell.as_ref(), term);
            }
        })?;
        Ok(tree.holds(held))
    }

    fn tree(&mut self, condition: &Condition, depth: usize) -> Result<Tree, ConditionError> {
        if depth == TREE_DEPTH_MAX {
            return Err(ConditionError::new(1, "the condition nests deeper than 256 levels"));
        }
        let mut all =
            |parts: &[Condition]| parts.iter().map(|part| self.tree(part, depth + 1)).collect::<Result<_, _>>();
        match condition {
            Condition::And(parts) => Ok(Tree::All(all(parts)?)),
            Condition::Or(parts) => Ok(Tree::Any(all(parts)?)),
            Condition::Not(inner) => Ok(Tree::Not(Box::new(self.tree(inner, depth + 1)?))),
            Condition::Compare(path, comparison, value) => self.leaf(path, Test::Compare(*comparison, value.clone())),
            Condition::In(path, values) => self.leaf(path, Test::one_of(values)),
            Condition::Prefix(path, prefix) => self.leaf(path, Test::Prefix(prefix.clone())),
            Condition::Exists(path) => self.leaf(path, Test::Exists),
        }
    }

    fn leaf(&mut self, path: &FieldPath, test: Test) -> Result<Tree, ConditionError> {
        if self.leaves.len() == LEAVES_MAX {
            return Err(ConditionError::new(1, "the condition makes more than 65,536 comparisons: use `in`"));
        }
        let node = self.trie.insert(path);
        self.at.resize_with(self.trie.len(), Vec::new);
        self.at[node].push(self.leaves.len());
        self.leaves.push(test);
        Ok(Tree::Leaf(self.leaves.len() - 1))
    }
}

impl Tree {
    fn holds(&self, held: &[bool]) -> bool {
        match self {
            Self::Leaf(leaf) => held[*leaf],
            Self::All(parts) => parts.iter().all(|part| part.holds(held)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(held)),
            Self::Not(inner) => !inner.holds(held),
        }
    }
}

impl Test {
    fn one_of(values: &[Value]) -> Self {
        let values = values.iter().filter(|value| !value.is_nan());
        if values.clone().count() < HASHED_FROM {
            return Self::OneOf(values.cloned().collect());
        }
        Self::OneOfMany(values.filter_map(Value::term).collect())
    }

    /// Whether it holds of a value; `None` stands for an array, whose elements are asked about one by one.
    fn holds(&self, cell: Option<&Cell<'_>>, term: &mut Vec<u8>) -> bool {
        let Some(cell) = cell else { return matches!(self, Self::Exists) };
        match self {
            Self::Exists => true,
            Self::Compare(comparison, value) => compares(cell, *comparison, value),
            Self::OneOf(values) => values.iter().any(|value| equals(cell, value)),
            Self::OneOfMany(terms) => cell.term(term) && terms.contains(&term[..]),
            Self::Prefix(prefix) => matches!(cell, Cell::Str(text) if text.starts_with(prefix)),
        }
    }
}

fn equals(cell: &Cell<'_>, value: &Value) -> bool {
    match (cell, &value.0) {
        (Cell::Str(a), Inner::String(b)) => a == b,
        (Cell::Number(a), Inner::Number(b)) => a == b,
        (Cell::Null, Inner::Null) => true,
        (Cell::Bool(a), Inner::Bool(b)) => a == b,
        _ => false,
    }
}

fn compares(cell: &Cell<'_>, comparison: Comparison, value: &Value) -> bool {
    let order = || cell.compare(&value.as_cell());
    match comparison {
        Comparison::Equal => equals(cell, value),
        Comparison::NotEqual => !equals(cell, value),
        Comparison::Less => order() == Some(Ordering::Less),
        Comparison::LessOrEqual => order().is_some_and(Ordering::is_le),
        Comparison::Greater => order() == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
    }
}
