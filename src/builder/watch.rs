//! Noticing new entries at once: inotify(7) on the queue's directory.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd, path::Path, thread};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::queue::EntryId;

/// What has changed in the queue.
#[derive(Debug)]
pub enum Change {
    /// An entry has appeared.
    Arrived(EntryId),
    /// Somebody does not want this build any more.
    Cancelled(EntryId),
    /// The file that an entry pauses by has gone, or the entry itself.
    Resumed(EntryId),
    /// The file `hold` has come or gone.
    Hold,
    /// Changes were lost: look again.
    Unclear,
    /// The kernel tells nothing any more.
    Lost,
}

/// Reports each change until `report` returns false; an error means that the kernel grants no watch.
pub fn start(queue: &Path, report: impl Fn(Change) -> bool + Send + 'static) -> io::Result<()> {
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    let changes = WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&watch, queue, changes)?;
    thread::Builder::new()
        .name("watch".to_string())
        .stack_size(256 << 10)
        .spawn(move || follow(&watch, &report))?;
    Ok(())
}

fn follow(watch: &OwnedFd, report: &dyn Fn(Change) -> bool) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    loop {
        let change = match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => Change::Unclear,
            Ok(event) => {
                let appeared = ReadFlags::CREATE | ReadFlags::MOVED_TO | ReadFlags::CLOSE_WRITE;
                let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default();
                let gone = event.events().intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM);
                match EntryId::of_waiting(name) {
                    Some(id) if event.events().intersects(appeared) => Change::Arrived(id),
                    // If it paused, its lane need not wait for it.
                    Some(id) if gone => Change::Resumed(id),
                    None if name == "hold" => Change::Hold,
                    None if gone => match EntryId::of_retry(name) {
                        Some(id) => Change::Resumed(id),
                        None => continue,
                    },
                    None => match EntryId::of_cancel(name) {
                        Some(id) if event.events().intersects(appeared) => Change::Cancelled(id),
                        _ => continue,
                    },
                    _ => continue,
                }
            }
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => Change::Lost,
        };
        let lost = matches!(change, Change::Lost);
        if !report(change) || lost {
            return;
        }
    }
}
