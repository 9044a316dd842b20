//! What `queue_build` and the directory `queue/` promise.

mod by_hand;
mod intake;
mod one_drain;
mod order;
