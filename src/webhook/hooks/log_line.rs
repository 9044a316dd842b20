//! A line that deciding leaves for the log.

/// What the log gets, in the order in which the lines stand. The text may hold anything the client sent:
/// whoever writes it makes it printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogLine {
    /// Belongs to the request: written with the request's id.
    Tagged(String),
    /// Written without an id, as webhook 2.8 does.
    Plain(String),
}
