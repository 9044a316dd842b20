//! What a request's way is made of: where it goes, its body, its answer, its lines in the log.

mod access_log;
mod answer;
mod body;
mod dump;
mod refusals;
mod route;
mod status;
mod streamed;

pub use access_log::AccessLine;
pub use answer::{Answer, AnswerBody, headers};
pub use body::{BodyLimits, BodyRefused, ReceivedBody, RequestBody};
pub use dump::{dump_answer, dump_request};
pub use refusals::{destination, status_only};
pub use status::configured;
pub use streamed::StreamedOutput;
