//! What a request's way is made of.

mod access_log;
mod answer;
mod body;
pub mod dump;
mod refusal;
mod route;
mod status;
mod streamed;

pub use access_log::Access;
pub use answer::{Answer, Contents, headers};
pub use body::{Intake, Received, Refused};
pub use refusal::{destination, status_only};
pub use status::{UnknownStatus, configured};
pub use streamed::Output;
