//! Sockets, and how many of them.

mod bound_socket;
mod head_room;
mod listener;
mod stream;
mod tls;

pub use crate::connection_slots::{ActiveRequest, ConnectionSlot, ConnectionSlots};
pub use bound_socket::BoundSocket;
pub use head_room::HeadRoom;
pub use listener::Listener;
pub use stream::{Socket, Stream};
pub use tls::{Tls, cipher_suites};
