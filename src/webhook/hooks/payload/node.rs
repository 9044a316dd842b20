//! A part of a parsed value.

use std::ops::Range;

/// 16 bytes: a body of nothing but `1,1,1,...` must not become a hundred times as large.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    /// How many nodes this one is with all below it. An object's children are a name and a value in turn.
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    /// An object that is not there: shown as `null`, but looking into it finds nothing, which is no error.
    NoObject,
    True,
    False,
    /// The literal as it was written.
    Number,
    /// The name `root`, which stands in no text: a list at the top of a payload goes by it.
    Root,
    /// Bytes as they are.
    Text,
    /// What stands between the quotes in JSON; it may be invalid UTF-8.
    Json,
    /// The same, with escapes in it.
    JsonEscaped,
    List,
    Object,
}

impl Node {
    #[expect(clippy::cast_possible_truncation, reason = "the parser and Builder refuse texts beyond u32")]
    pub fn scalar(kind: Kind, start: usize, end: usize) -> Self {
        Self { kind, start: start as u32, end: end as u32, count: 1 }
    }

    pub fn kind(self) -> Kind {
        self.kind
    }

    pub fn count(self) -> usize {
        self.count as usize
    }

    /// Where it stands in the text.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    #[expect(clippy::cast_possible_truncation, reason = "as above")]
    pub fn moved_by(self, offset: usize) -> Self {
        Self { start: self.start + offset as u32, end: self.end + offset as u32, ..self }
    }

    #[expect(clippy::cast_possible_truncation, reason = "as above")]
    pub fn resize(&mut self, old: usize, new: usize) {
        self.count = self.count - old as u32 + new as u32;
    }
}

/// Says of the container at `open` that all nodes after it are below it.
#[expect(clippy::cast_possible_truncation, reason = "a node needs a byte of text")]
pub fn close(nodes: &mut [Node], open: usize) {
    let count = nodes.len() - open;
    nodes[open].count = count as u32;
}
