//! What the forge hears, and what it does not.

mod replies;
