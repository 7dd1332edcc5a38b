//! The values of indexed fields, as hashes, on their way from records into indexes.

use super::path::FieldPath;
use super::trie::Trie;
use super::value::TERM_PRESENT;
use super::walk::walk;
use crate::msgpack::MsgPackError;
use annals_index::{FieldsBuilder, term_hash};

/// Hashes what records hold in some fields.
#[derive(Debug)]
pub(crate) struct Hashes {
    paths: Vec<FieldPath>,
    trie: Trie,
    /// The field of each node of the trie.
    at: Vec<Option<usize>>,
    term: Vec<u8>,
    present: u64,
}

impl Hashes {
    /// Those of the fields at `paths`, none of which is there twice.
    pub(crate) fn new(paths: &[FieldPath]) -> Self {
        let mut trie = Trie::default();
        let nodes: Vec<usize> = paths.iter().map(|path| trie.insert(path)).collect();
        let mut at = vec![None; trie.len()];
        nodes.into_iter().enumerate().for_each(|(field, node)| at[node] = Some(field));
        Self { paths: paths.to_vec(), trie, at, term: Vec::new(), present: term_hash(&TERM_PRESENT) }
    }

    pub(crate) fn paths(&self) -> &[FieldPath] {
        &self.paths
    }

    /// Calls `take` with each field that a record has and each hash in it; some come more than once.
    ///
    /// # Errors
    /// [`MsgPackError`] if the body is no MessagePack map.
    pub(crate) fn each(&mut self, body: &[u8], take: &mut dyn FnMut(usize, u64)) -> Result<(), MsgPackError> {
        let Self { trie, at, term, present, .. } = self;
        walk(trie, body, &mut |node, cell| {
            let Some(field) = at[node] else { return };
            take(field, *present);
            if cell.is_some_and(|cell| cell.term(term)) {
                take(field, term_hash(term));
            }
        })
    }
}

/// Collects what the records of a segment hold in some fields.
#[derive(Debug)]
pub(crate) struct FieldCollector {
    hashes: Hashes,
    builder: FieldsBuilder,
}

impl FieldCollector {
    /// A collector of the fields at `paths`, none of which is there twice.
    pub(crate) fn new(paths: &[FieldPath]) -> Self {
        let builder = FieldsBuilder::new(paths.iter().map(|path| path.keys().to_vec()));
        Self { hashes: Hashes::new(paths), builder }
    }

    /// Adds the next record.
    ///
    /// # Errors
    /// [`MsgPackError`] if the body is no MessagePack map: what was collected is of no use then.
    pub(crate) fn push(&mut self, body: &[u8]) -> Result<(), MsgPackError> {
        let builder = &mut self.builder;
        builder.begin_record();
        self.hashes.each(body, &mut |field, hash| builder.push(field, hash))
    }

    pub(crate) fn into_builder(self) -> FieldsBuilder {
        self.builder
    }
}
