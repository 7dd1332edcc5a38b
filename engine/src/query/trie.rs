//! The paths of a query as one tree, so that a record is walked once for all of them.

use super::path::FieldPath;

/// The number of the node for the records themselves.
pub(super) const ROOT: usize = 0;

/// A place that some path leads to or through.
#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<(String, usize)>,
}

/// Paths by their keys.
#[derive(Debug, Clone)]
pub(crate) struct Trie(Vec<Node>);

impl Default for Trie {
    fn default() -> Self {
        Self(vec![Node::default()])
    }
}

impl Trie {
    /// The node of `path`, which is added if it isn't there.
    pub(crate) fn insert(&mut self, path: &FieldPath) -> usize {
        path.keys().iter().fold(ROOT, |node, key| {
            self.child(node, key).unwrap_or_else(|| {
                self.0.push(Node::default());
                let child = self.0.len() - 1;
                self.0[node].children.push((key.clone(), child));
                child
            })
        })
    }

    /// The node below `node` by `key`.
    pub(crate) fn child(&self, node: usize, key: &str) -> Option<usize> {
        self.0[node].children.iter().find(|(own, _)| own == key).map(|(_, child)| *child)
    }

    /// Whether no path leads further.
    pub(crate) fn is_end(&self, node: usize) -> bool {
        self.0[node].children.is_empty()
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
