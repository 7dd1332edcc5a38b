//! What all blocks of a file share: a zstd dictionary for rows, or the tables of columns.

use super::dictionary;
use crate::columns::Dictionary as Columns;
use crate::options::Codec;
use std::borrow::Cow;
use std::sync::Arc;
use zstd::zstd_safe::DDict;

/// The dictionary of a file, for writing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileDictionary {
    /// What zstd takes for a dictionary.
    Rows(Vec<u8>),
    /// Columns, and what their cells may be.
    Columns(Box<Columns>),
}

impl FileDictionary {
    /// The codec of the blocks that it is for.
    pub(crate) fn codec(&self) -> Codec {
        match self {
            Self::Rows(_) => Codec::Rows,
            Self::Columns(_) => Codec::Columns,
        }
    }

    /// Its plain bytes.
    pub(super) fn plain(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Rows(plain) => Cow::Borrowed(plain),
            Self::Columns(columns) => Cow::Owned(columns.encode()),
        }
    }

    /// The dictionary with these plain bytes; `None` if there is none.
    pub(super) fn decode(codec: Codec, plain: Vec<u8>) -> Option<Self> {
        match codec {
            Codec::Rows => Some(Self::Rows(plain)),
            Codec::Columns => Columns::decode(&plain).map(|columns| Self::Columns(Box::new(columns))),
        }
    }

    /// The dictionary ready for reading blocks; `None` if zstd refuses it.
    pub(super) fn share(self) -> Option<Shared> {
        match self {
            Self::Rows(plain) => dictionary::digested(&plain).map(Shared::Rows),
            Self::Columns(columns) => SharedColumns::new(*columns).map(|columns| Shared::Columns(Arc::new(columns))),
        }
    }
}

/// The dictionary of a file, ready for reading its blocks.
#[derive(Clone)]
pub(super) enum Shared {
    Rows(Arc<DDict<'static>>),
    Columns(Arc<SharedColumns>),
}

/// The tables of columns, and the dictionary of the zstd frames in their blocks.
pub(super) struct SharedColumns {
    pub(super) columns: Columns,
    pub(super) content: Option<DDict<'static>>,
}

impl std::fmt::Debug for SharedColumns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedColumns").finish_non_exhaustive()
    }
}

impl SharedColumns {
    fn new(columns: Columns) -> Option<Self> {
        let content = match columns.content() {
            [] => None,
            content => Some(DDict::try_create(content)?),
        };
        Some(Self { columns, content })
    }
}
