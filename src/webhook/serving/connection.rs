//! A connection.

use std::sync::Arc;

use super::service::Service;
use crate::webhook::{
    client::Peer,
    net::{Seat, Socket},
    shutdown::Stop,
};

/// One connection's view of the service.
#[derive(Clone)]
pub struct Connection {
    pub service: Arc<Service>,
    pub peer: Peer,
    pub seat: Arc<Seat>,
    pub socket: Arc<Socket>,
    pub stop: Stop,
}
