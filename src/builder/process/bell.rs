//! A word that is given once and stays given, for those that wait in poll(2): eventfd(2).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::retry_on_intr,
};

#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC)?))
    }

    pub fn ring(&self) {
        let _ = retry_on_intr(|| rustix::io::write(&self.0, &1_u64.to_ne_bytes()));
    }

    pub fn has_rung(&self) -> bool {
        let mut told = [PollFd::new(&self.0, PollFlags::IN)];
        retry_on_intr(|| poll(&mut told, Some(&Timespec::default()))).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Bell {
    /// Readable as soon as it has rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
