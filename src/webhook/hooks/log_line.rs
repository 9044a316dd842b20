//! A line that deciding leaves for the log.

/// What the log gets, in the order in which the lines stand. The text may hold anything the client sent:
/// whoever writes it makes it printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Belongs to the request: written with the request's id.
    Tagged(String),
    /// Written without an id, as the peer does.
    Plain(String),
}
