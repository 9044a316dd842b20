//! What the forge hears, and what it does not.

mod catch_up;
mod replies;
