//! Noticing new entries at once: inotify(7) on the queue's directory.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd, path::Path, sync::mpsc::Sender, thread};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::drain::Event;
use crate::queue::EntryId;

/// Sends an event for each change of the directory; an error means that the kernel grants no watch.
pub fn start(queue: &Path, events: Sender<Event>) -> io::Result<()> {
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
        .spawn(move || follow(&watch, &events))?;
    Ok(())
}

fn follow(watch: &OwnedFd, events: &Sender<Event>) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    loop {
        let event = match reader.next() {
            Ok(change) if change.events().contains(ReadFlags::QUEUE_OVERFLOW) => Event::QueueUnclear,
            Ok(change) => {
                let appeared = ReadFlags::CREATE | ReadFlags::MOVED_TO | ReadFlags::CLOSE_WRITE;
                let name = change.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default();
                match EntryId::of_waiting(name) {
                    Some(id) if change.events().intersects(appeared) => Event::Arrived(id),
                    None if name == "hold" => Event::HoldChanged,
                    _ => continue,
                }
            }
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => Event::WatchLost,
        };
        let lost = matches!(event, Event::WatchLost);
        if events.send(event).is_err() || lost {
            return;
        }
    }
}
