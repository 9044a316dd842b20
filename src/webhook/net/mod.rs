//! Sockets, and how many of them.

mod connection_slots;
mod listener;
mod stream;
mod tls;

pub use connection_slots::{ActiveRequest, ConnectionSlot, ConnectionSlots};
pub use listener::{Listener, Opened};
pub use stream::{Socket, Stream};
pub use tls::{Tls, cipher_suites};
