//! Sockets, and how many of them.

mod bound_socket;
mod connection_slots;
mod head_room;
mod listener;
mod stream;
mod tls;

pub use bound_socket::BoundSocket;
pub use connection_slots::{ActiveRequest, ConnectionSlot, ConnectionSlots};
pub use head_room::HeadRoom;
pub use listener::Listener;
pub use stream::{Socket, Stream};
pub use tls::{Tls, cipher_suites};
