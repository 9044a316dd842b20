//! Whose words a line of the log holds: a stranger's are bounded, since anybody can send requests.

use std::cell::Cell;

tokio::task_local! {
    static STRANGERS: Cell<bool>;
}

/// Serves a connection; what is logged meanwhile is a stranger's until [`known`] says otherwise.
pub async fn of_strangers<F: Future>(serve: F) -> F::Output {
    STRANGERS.scope(Cell::new(true), serve).await
}

/// The connection's next request is a stranger's again.
pub fn unknown() {
    let _ = STRANGERS.try_with(|strangers| strangers.set(true));
}

/// The request is one that a hook fires for: all that is said of it from here on is logged.
pub fn known() {
    let _ = STRANGERS.try_with(|strangers| strangers.set(false));
}

/// Is what is said here and now said of a stranger?
pub fn is_strangers() -> bool {
    STRANGERS.try_with(Cell::get).unwrap_or(false)
}
