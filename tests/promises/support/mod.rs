//! What the tests stand on: installations, daemons, mail servers, strace.

pub mod checkout;
pub mod daemon;
pub mod faulty_mail_server;
pub mod forge;
pub mod installation;
pub mod mail_server;
pub mod strace;
