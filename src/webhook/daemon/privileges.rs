//! Becoming somebody else once the port is open.

use std::io;

use rustix::{
    process::{Gid, Uid},
    thread,
};

/// Gives up supplementary groups, then group, then user, for good. The calls count for the calling thread
/// alone: there must be no other yet.
pub fn drop_to(uid: i64, gid: i64) -> io::Result<()> {
    let number = |id: i64| {
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or(io::Error::from(io::ErrorKind::InvalidInput))
    };
    let (uid, gid) = (Uid::from_raw(number(uid)?), Gid::from_raw(number(gid)?));
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(gid, gid, gid)?;
    thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}
