//! Computing a segment's part of the tree again, where gaps leave some leaves unknown.
//!
//! A repair can't know the leaves of records that are lost, while the segments after them name the root that stood
//! over them. What is stated of nodes over such leaves is then taken as stated, and counted; all else has to be what
//! the records give. docs/format.md, "Gaps in the tree".

use super::{Frontier, HASH_BYTES, Hash, NODE_LEVEL, node_hash};

/// Stands in place of a node over leaves that nobody knows any more.
pub(crate) const UNKNOWN_NODE: Hash = [0; HASH_BYTES];

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    /// It follows from records, or was stated and agrees with what follows from them.
    Known(Hash),
    /// As it is if the gap's own leaves were in the tree all along.
    Guess(Hash),
    Unknown,
}

impl Node {
    fn above(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Known(left), Self::Known(right)) => Self::Known(node_hash(&left, &right)),
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Known(left) | Self::Guess(left), Self::Known(right) | Self::Guess(right)) => {
                Self::Guess(node_hash(&left, &right))
            }
        }
    }

    /// What is known once `stated` is taken into account; `None` if that can't be so.
    fn with(self, stated: Option<Hash>) -> Option<Self> {
        match (self, stated) {
            (Self::Known(own), Some(stated)) => (own == stated).then_some(self),
            (Self::Guess(own), Some(stated)) if own == stated => Some(Self::Known(own)),
            (Self::Guess(_) | Self::Unknown, Some(UNKNOWN_NODE)) => Some(Self::Unknown),
            (Self::Guess(_) | Self::Unknown, Some(stated)) => Some(Self::Known(stated)),
            (own, None) => Some(own),
        }
    }
}

/// Takes a segment's leaves one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Prover {
    size: u64,
    roots: Vec<Node>,
    /// The nodes that the segment states, those to come first; `None` if they can't be read.
    stated: Option<std::vec::IntoIter<Hash>>,
    nodes_agree: bool,
    unproven: u64,
}

/// What the leaves gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The tree after the last leaf; `None` if it is not known.
    pub(crate) end: Option<Frontier>,
    /// Whether the stated nodes are those of the leaves.
    pub(crate) nodes_agree: bool,
    /// Whether the stated end is that of the leaves.
    pub(crate) end_agrees: bool,
    /// How many nodes, and runs of leaves that fill none, were taken as stated.
    pub(crate) unproven: u64,
}

impl Prover {
    /// Begins at `start`. `stated` are the nodes that the segment says it completes.
    pub(crate) fn new(start: &Frontier, stated: Option<Vec<Hash>>) -> Self {
        Self {
            size: start.size(),
            roots: start.roots().iter().copied().map(Node::Known).collect(),
            stated: stated.map(Vec::into_iter),
            nodes_agree: true,
            unproven: 0,
        }
    }

    /// Adds the leaf of a record.
    pub(crate) fn record(&mut self, leaf: Hash) {
        self.push(Node::Known(leaf));
    }

    /// Adds the leaf of a seq in a gap.
    pub(crate) fn gap(&mut self, leaf: Hash) {
        self.push(Node::Guess(leaf));
    }

    /// Adds the same leaf `count` times: that of the seqs in a wide gap. Where no nodes are stated, at the cost of some.
    pub(crate) fn wide_gap(&mut self, leaf: Hash, mut count: u64) {
        // Every node that is stated is compared.
        let highest = if self.stated.is_some() { NODE_LEVEL } else { u64::BITS };
        let mut doubled = vec![Node::Guess(leaf)];
        while let Some(most) = count.checked_ilog2() {
            let level = self.size.trailing_zeros().min(most).min(highest);
            while let Some(last) = doubled.last().copied().filter(|_| doubled.len() <= level as usize) {
                doubled.push(Node::above(last, last));
            }
            self.push_subtree(doubled[level as usize], level);
            count -= 1 << level;
        }
    }

    fn push(&mut self, leaf: Node) {
        self.push_subtree(leaf, 0);
    }

    /// Adds the perfect subtree over 2^`level` leaves, of which the size is a multiple.
    fn push_subtree(&mut self, mut root: Node, level: u32) {
        if level == NODE_LEVEL {
            root = self.complete(root);
        }
        for above in level + 1..=level + (self.size >> level).trailing_ones() {
            let Some(left) = self.roots.pop() else { return };
            root = Node::above(left, root);
            if above == NODE_LEVEL {
                root = self.complete(root);
            }
        }
        self.roots.push(root);
        self.size += 1 << level;
    }

    /// Compares a node with what is stated of it.
    fn complete(&mut self, node: Node) -> Node {
        let stated = match &mut self.stated {
            Some(stated) => stated.next(),
            None => return node,
        };
        match stated.and_then(|stated| Some((stated, node.with(Some(stated))?))) {
            Some((stated, known)) => {
                self.unproven += u64::from(node != Node::Known(stated) && node != Node::Guess(stated));
                known
            }
            None => {
                self.nodes_agree = false;
                node
            }
        }
    }

    /// Ends the segment, of which `end` is stated.
    pub(crate) fn finish(mut self, end: Option<&Frontier>) -> Proof {
        let nodes_agree = self.nodes_agree && self.stated.is_none_or(|mut stated| stated.next().is_none());
        let mut end_agrees = true;
        if let Some(end) = end {
            end_agrees = end.size() == self.size;
            let mut taken = false;
            for (own, stated) in self.roots.iter_mut().zip(end.roots()) {
                match own.with(Some(*stated)) {
                    Some(known) => {
                        taken |= *own != known && *own != Node::Guess(*stated);
                        *own = known;
                    }
                    None => end_agrees = false,
                }
            }
            // Where nodes were taken as stated, so was what is above them.
            self.unproven += u64::from(taken && self.unproven == 0);
        }
        let known = |node: &Node| match node {
            Node::Known(hash) => Some(*hash),
            Node::Guess(_) | Node::Unknown => None,
        };
        let roots: Option<Vec<Hash>> = self.roots.iter().map(known).collect();
        let end = roots.map(|roots| Frontier::of(self.size, roots));
        Proof { end, nodes_agree, end_agrees, unproven: self.unproven }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u64) -> Hash {
        let mut leaf = [1; HASH_BYTES];
        leaf[..8].copy_from_slice(&n.to_le_bytes());
        leaf
    }

    /// The tree over leaves `from..to`, and the nodes that they complete.
    fn tree(start: &Frontier, to: u64, of: impl Fn(u64) -> Hash) -> (Frontier, Vec<Hash>) {
        let mut end = start.clone();
        let nodes = (start.size()..to).filter_map(|n| end.push(of(n))).collect();
        (end, nodes)
    }

    /// A segment from 100 to 2,000 in which 700 to 899 are a gap, and what is computed of it from `stated`.
    fn proof(end: Option<&Frontier>, nodes: Option<Vec<Hash>>, of: impl Fn(u64) -> Hash) -> Proof {
        let (start, _) = tree(&Frontier::new(), 100, leaf);
        let mut prover = Prover::new(&start, nodes);
        for n in 100..2_000 {
            match (700..900).contains(&n) {
                true => prover.gap(leaf(n + 1_000_000)),
                false => prover.record(of(n)),
            }
        }
        prover.finish(end)
    }

    #[test]
    fn what_touches_a_gap_is_taken_as_stated_and_counted_and_all_else_is_proven() {
        let (start, _) = tree(&Frontier::new(), 100, leaf);
        let (end, nodes) = tree(&start, 2_000, leaf);
        assert_eq!(nodes.len(), 7);
        let found = proof(Some(&end), Some(nodes.clone()), leaf);
        assert_eq!((found.end.as_ref(), found.nodes_agree, found.end_agrees), (Some(&end), true, true));
        assert_eq!(found.unproven, 2, "700 to 899 touch the nodes over 512 to 767 and 768 to 1,023");

        let mut lost = nodes.clone();
        lost[2] = UNKNOWN_NODE;
        let found = proof(Some(&end), Some(lost), leaf);
        assert_eq!((found.end.as_ref(), found.nodes_agree, found.end_agrees), (Some(&end), true, true));

        // Of the records themselves, none can be another.
        for changed in [100, 511, 1_024, 1_999] {
            let found = proof(Some(&end), Some(nodes.clone()), |n| if n == changed { leaf(7) } else { leaf(n) });
            assert!(!(found.nodes_agree && found.end_agrees), "{changed}");
        }
        let mut wrong = nodes;
        wrong[0] = UNKNOWN_NODE;
        assert!(!proof(Some(&end), Some(wrong), leaf).nodes_agree, "no gap touches it");
    }

    #[test]
    fn a_tree_over_the_gaps_own_leaves_is_proven_whole() {
        let of = |n| leaf(if (700..900).contains(&n) { n + 1_000_000 } else { n });
        let (start, _) = tree(&Frontier::new(), 100, leaf);
        let (end, nodes) = tree(&start, 2_000, of);
        let found = proof(Some(&end), Some(nodes), leaf);
        assert_eq!(found, Proof { end: Some(end), nodes_agree: true, end_agrees: true, unproven: 0 });
    }

    #[test]
    fn a_wide_gap_is_what_its_one_leaf_gives_again_and_again() {
        let (start, _) = tree(&Frontier::new(), 100, leaf);
        let of = |n: u64| leaf(if (700..5_000).contains(&n) { 9 } else { n });
        let (end, nodes) = tree(&start, 6_000, of);
        let mut hidden = nodes.clone();
        hidden[5] = UNKNOWN_NODE;
        let mut other = nodes.clone();
        other[0] = leaf(1);
        for (stated, unproven, agrees) in
            [(Some(nodes), 0, true), (Some(hidden), 1, true), (None, 0, true), (Some(other), 0, false)]
        {
            let mut prover = Prover::new(&start, stated);
            (100..700).for_each(|n| prover.record(leaf(n)));
            prover.wide_gap(leaf(9), 4_300);
            (5_000..6_000).for_each(|n| prover.record(leaf(n)));
            let proof = prover.finish(Some(&end));
            assert_eq!((proof.unproven, proof.nodes_agree, proof.end), (unproven, agrees, Some(end.clone())));
        }
    }

    #[test]
    fn without_what_was_stated_a_tree_over_a_gap_is_not_known() {
        assert_eq!(proof(None, None, leaf).end, None);
    }
}
