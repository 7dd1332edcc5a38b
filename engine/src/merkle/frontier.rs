//! The part of a tree that further leaves depend on.

use super::{HASH_BYTES, Hash, NODE_LEVEL, empty_root, node_hash};

const SIZE_BYTES: usize = 8;

/// Leaves a tree can have: seqs are below 2^63.
const SIZE_MAX: u64 = 1 << 63;

/// A tree's size and the roots of the perfect subtrees its leaves fall into, the largest (leftmost) first: one for
/// each bit that is set in the size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree without leaves.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The frontier of a tree of `size` leaves whose perfect subtrees have these roots, one for each bit in the size.
    pub(super) fn of(size: u64, roots: Vec<Hash>) -> Self {
        debug_assert_eq!(size.count_ones() as usize, roots.len());
        Self { size, roots }
    }

    /// The roots of the perfect subtrees, the largest first.
    pub(super) fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// How many leaves the tree has.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(smallest) = roots.next() else {
            return empty_root();
        };
        roots.fold(*smallest, |right, left| node_hash(left, &right))
    }

    /// Adds a leaf. Returns the node over the aligned [`super::NODE_LEAVES`] leaves that it completes, if it does.
    pub(crate) fn push(&mut self, leaf: Hash) -> Option<Hash> {
        self.push_subtree(leaf, 0)
    }

    /// Adds the same leaf `count` times, at the cost of some. Gives each node that is completed to `sink`, and how many in a
    /// row are the same.
    pub(crate) fn push_run(&mut self, leaf: Hash, mut count: u64, sink: &mut dyn FnMut(Hash, u64)) {
        // The roots over 1, 2, 4 … of them.
        let mut doubled = vec![leaf];
        while let Some(most) = count.checked_ilog2() {
            let level = self.size.trailing_zeros().min(most);
            while let Some(last) = doubled.last().filter(|_| doubled.len() <= level as usize) {
                doubled.push(node_hash(last, last));
            }
            if let Some(below) = level.checked_sub(NODE_LEVEL) {
                sink(doubled[NODE_LEVEL as usize], 1 << below);
            }
            if let Some(node) = self.push_subtree(doubled[level as usize], level) {
                sink(node, 1);
            }
            count -= 1 << level;
        }
    }

    /// Adds the perfect subtree over 2^`level` leaves, of which the size is a multiple. Returns the node that it completes with
    /// leaves before it, if it does.
    fn push_subtree(&mut self, mut root: Hash, level: u32) -> Option<Hash> {
        let mut kept = None;
        for above in level + 1..=level + (self.size >> level).trailing_ones() {
            // There is one root for each bit that is set in the size, so one for each trailing one.
            let left = self.roots.pop()?;
            root = node_hash(&left, &root);
            if above == NODE_LEVEL {
                kept = Some(root);
            }
        }
        self.roots.push(root);
        self.size += 1 << level;
        kept
    }

    /// Appends the frontier to `out`: its size, then its roots.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.size.to_le_bytes());
        out.extend(self.roots.iter().flatten());
    }

    /// The frontier that `bytes` begin with, and the bytes after it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (size, rest) = bytes.split_first_chunk::<SIZE_BYTES>()?;
        let size = u64::from_le_bytes(*size);
        if size > SIZE_MAX {
            return None;
        }
        let (roots, rest) = rest.split_at_checked(size.count_ones() as usize * HASH_BYTES)?;
        let (roots, _) = roots.as_chunks::<HASH_BYTES>();
        Some((Self { size, roots: roots.to_vec() }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::super::NODE_LEAVES;
    use super::*;
    use sha2::{Digest, Sha256};

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn leaf(data: &[u8]) -> Hash {
        Sha256::new().chain_update([0]).chain_update(data).finalize().into()
    }

    /// MTH of RFC 6962, section 2.1, word for word.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let k = (leaves.len() - 1).next_power_of_two().max(2);
                let k = if k >= leaves.len() { k / 2 } else { k };
                node_hash(&naive(&leaves[..k]), &naive(&leaves[k..]))
            }
        }
    }

    /// The vectors of the Certificate Transparency reference implementation (merkletree/merkle_tree_test.cc).
    #[test]
    fn roots_are_those_of_the_reference_implementation() {
        let inputs =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root().to_vec(), hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        for (input, root) in inputs.iter().zip(roots) {
            frontier.push(leaf(&hex(input)));
            assert_eq!(frontier.root().to_vec(), hex(root), "{} leaves", frontier.size());
        }
    }

    #[test]
    fn roots_and_nodes_are_those_of_the_recursive_definition() {
        let leaves: Vec<Hash> = (0..1_200u32).map(|i| leaf(&i.to_le_bytes())).collect();
        let (mut frontier, mut nodes) = (Frontier::new(), Vec::new());
        for (i, leaf) in leaves.iter().enumerate() {
            let node = frontier.push(*leaf);
            assert_eq!(node.is_some(), (i as u64 + 1).is_multiple_of(NODE_LEAVES));
            nodes.extend(node);
            if i % 7 == 0 || i > 1_000 {
                assert_eq!(frontier.root(), naive(&leaves[..=i]), "{} leaves", i + 1);
            }
        }
        assert_eq!(nodes, leaves.chunks_exact(256).map(naive).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_of_one_leaf_is_that_leaf_again_and_again() {
        for before in [0, 1, 255, 256, 700] {
            let mut start = Frontier::new();
            (0..before as u64).for_each(|n| _ = start.push(leaf(&n.to_le_bytes())));
            for count in (0..20).chain([255, 256, 257, 511, 1_000, 1_024, 70_000]) {
                let (mut at_once, mut singly) = (start.clone(), start.clone());
                let (mut nodes, mut all) = (Vec::new(), Vec::new());
                at_once.push_run(leaf(b"gap"), count, &mut |node, times| {
                    nodes.extend(std::iter::repeat_n(node, times as usize));
                });
                (0..count).for_each(|_| all.extend(singly.push(leaf(b"gap"))));
                assert_eq!((at_once, nodes), (singly, all), "{count} after {before}");
            }
        }
    }

    #[test]
    fn a_frontier_comes_back_and_grows_on() {
        let mut frontier = Frontier::new();
        for i in 0..1_000u32 {
            let mut bytes = Vec::new();
            frontier.encode(&mut bytes);
            bytes.push(7);
            let (mut decoded, rest) = Frontier::decode(&bytes).unwrap();
            assert_eq!((&decoded, rest), (&frontier, &[7][..]));
            assert_eq!(decoded.push(leaf(&[9])), frontier.clone().push(leaf(&[9])));
            frontier.push(leaf(&i.to_le_bytes()));
        }
    }

    #[test]
    fn hostile_bytes_are_no_frontier() {
        assert_eq!(Frontier::decode(&[0; 7]), None);
        assert_eq!(Frontier::decode(&[255; 8 + 64 * HASH_BYTES]), None);
        assert_eq!(Frontier::decode(&[0x7f; 8 + 20 * HASH_BYTES]), None);
        assert_eq!(Frontier::decode(&[0; 8]), Some((Frontier::new(), &[][..])));
    }
}
