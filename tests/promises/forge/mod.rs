//! What the forge hears, and what it does not.

mod catch_up;
mod missed;
mod replies;
mod reporting;
