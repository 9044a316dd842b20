//! What Go's standard library does and Rust's does not, or differently: hooks files and clients of webhook 2.8 rely
//! on it. The files are named by Go's packages. Nothing here knows the rest of this program.
//!
//! The same input has the same result as in Go, and what is logged when all is well has the same words. What is
//! said of malformed input has words of our own where Go's would cost code.

pub mod base64;
pub mod flag;
pub mod json;
pub mod mime;
pub mod multipart;
pub mod net_http;
pub mod regexp;
pub mod strconv;
pub mod syscall;
pub mod template;
pub mod textproto;
pub mod time;
pub mod url;
pub mod utf8;
