//! What the tests stand on: installations, daemons, mail servers, strace, a browser.

pub mod browser;
pub mod checkout;
pub mod daemon;
pub mod disk;
pub mod faulty_mail_server;
pub mod files;
pub mod forge;
pub mod git_http;
pub mod git_server;
pub mod github;
pub mod http;
pub mod installation;
pub mod mail_server;
pub mod mount;
pub mod need;
pub mod page;
pub mod process;
pub mod repositories;
pub mod strace;
pub mod wait;
