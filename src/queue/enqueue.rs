//! How a request gets into the queue: durable before anybody is told, and in the order of acceptance.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::NamedTempFile;

use super::{BuildRequest, EntryId, Origin, lock_file};
use crate::{
    directory, durable,
    error_chain::{at, in_full},
    home::Home,
};

/// How long another intake may hold the lock on `.last`: GitHub waits 10 s for an answer.
const LOCK_LIMIT: Duration = Duration::from_secs(8);

/// Stores `request` and returns its name.
///
/// When this returns `Ok`, the entry is on the disk, whole and under its final name. Otherwise nothing is
/// left that a drain would take (unless one took it before the last step failed). The order of calls:
/// write, fsync, and under the lock on `.last`: choose the name and rename without overwriting; then fsync
/// of the directory. Names are given and entries appear under the same lock, so a drain never sees an
/// entry before an earlier one.
pub fn enqueue(home: &Home, request: &BuildRequest) -> io::Result<EntryId> {
    store(home, &request.to_json())
}

/// The same for a request that no push brought.
pub fn enqueue_with(home: &Home, request: &BuildRequest, origin: &Origin) -> io::Result<EntryId> {
    store(home, &request.to_json_with(origin))
}

fn store(home: &Home, text: &str) -> io::Result<EntryId> {
    loop {
        match store_once(home, text) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn store_once(home: &Home, text: &str) -> io::Result<EntryId> {
    let queue = home.queue();
    let mut new = durable::new_file(&queue, 0o640).map_err(at("queue/: cannot make a file in it"))?;
    new.write_all(text.as_bytes()).map_err(at("queue/: cannot write an entry"))?;
    new.as_file().sync_all().map_err(at("queue/: cannot write an entry to the disk"))?;

    let id = name_and_rename(home, new)?;

    durable::sync_dir(&queue).map_err(|error| {
        // Not known to be durable: as if it had never been.
        match fs_err::remove_file(queue.join(id.waiting())) {
            Ok(()) => at("queue/: cannot make the entry durable")(error),
            Err(left) => {
                let left = in_full(&left);
                at(format_args!("queue/: cannot make build-{id} durable, nor take it back ({left})"))(error)
            }
        }
    })?;
    Ok(id)
}

/// The step under the lock: the name, and the entry under it.
fn name_and_rename(home: &Home, mut new: NamedTempFile<fs_err::File>) -> io::Result<EntryId> {
    let queue = home.queue();
    let path = queue.join(".last");
    let last = lock_file::open_to_write(&path).map_err(at("queue/.last: cannot open"))?;
    if !lock_file::lock_within(&last, LOCK_LIMIT).map_err(at("queue/.last: cannot lock"))? {
        let what = "queue/.last has been locked by another process for 8 s: `lslocks` and `fuser queue/.last` show which";
        return Err(io::Error::new(ErrorKind::TimedOut, what));
    }

    let now = EntryId::at(SystemTime::now());
    let mut id = match read_last(&last).and_then(|last| last.next()) {
        Some(next) => next.max(now.clone()),
        None => past_all(home, &now)?,
    };
    loop {
        // Whoever set the clock back and lost `.last` as well must not be given a name twice.
        if is_taken(home, &id) {
            id = past_all(home, &now)?;
        }
        write_last(&last, &id).map_err(at("queue/.last: cannot write"))?;
        match new.persist_noclobber(queue.join(id.waiting())) {
            Ok(_) => return Ok(id),
            Err(error) => {
                new = error.file;
                match error.error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::AlreadyExists => id = past_all(home, &now)?,
                    _ => return Err(at("queue/: cannot rename an entry")(error.error)),
                }
            }
        }
    }
}

/// The last name given; none if the file is new or damaged.
fn read_last(file: &File) -> Option<EntryId> {
    let mut text = String::new();
    file.take(512).read_to_string(&mut text).ok()?;
    EntryId::of_waiting(text.strip_suffix('\n')?)
}

/// In place: it needs no space on a full disk, and a torn write is seen as damage.
fn write_last(file: &File, id: &EntryId) -> io::Result<()> {
    let text = format!("{}\n", id.waiting());
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

/// Past the greatest name in the queue, among the bad ones and in the records, and not before `now`.
fn past_all(home: &Home, now: &EntryId) -> io::Result<EntryId> {
    let (queue, builds) = (home.queue(), home.builds());
    let greatest =
        greatest_in(&queue, |name| EntryId::of_waiting(name).or_else(|| EntryId::of_claimed(name)))?
            .max(greatest_in(&queue.join("bad"), EntryId::of_waiting)?)
            .max(greatest_in(&builds, EntryId::parse)?);
    Ok(match greatest.and_then(|id| id.next()) {
        Some(next) => next.max(now.clone()),
        None => now.clone(),
    })
}

fn greatest_in(dir: &Path, read: impl Fn(&str) -> Option<EntryId>) -> io::Result<Option<EntryId>> {
    let mut greatest = None;
    for entry in directory::entries(dir)? {
        let id = entry?.file_name().to_str().and_then(&read);
        greatest = greatest.max(id.filter(|id| id.next().is_some()));
    }
    Ok(greatest)
}

/// Is the name in use by anything but a waiting entry (which the rename itself will not overwrite)?
fn is_taken(home: &Home, id: &EntryId) -> bool {
    let queue = home.queue();
    [queue.join(id.claimed()), queue.join("bad").join(id.waiting()), home.builds().join(id.as_str())]
        .iter()
        .any(|path| path.symlink_metadata().is_ok())
}
