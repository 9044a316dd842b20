//! A connection.

use std::sync::Arc;

use super::service::Service;
use crate::webhook::{
    client::Client,
    net::{ConnectionSlot, HeadRoom, Socket},
    shutdown::Shutdown,
};

/// What a request needs of the connection it came by.
pub struct Connection {
    pub service: Arc<Service>,
    /// The other end; perhaps a proxy.
    pub client: Client,
    pub slot: Arc<ConnectionSlot>,
    pub socket: Arc<Socket>,
    pub head: Arc<HeadRoom>,
    pub shutdown: Shutdown,
}
