//! Opening what somebody else may have put there: only a regular file is read, no link at the end of the path of a file of
//! ours is followed, and nobody waits for the writer of a FIFO (open(2): O_NOFOLLOW, O_NONBLOCK).

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;

use crate::error_chain::at;

/// What stands under a name.
#[derive(Debug)]
pub enum Opened {
    /// A regular file.
    File(File),
    /// Nothing.
    Missing,
    /// A directory, a link, a FIFO, a socket, a device.
    NotAFile,
}

/// Opens `path` as `options` say. An error is one of the system's, and names the path.
pub fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<Opened> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match fs_err::OpenOptions::from_options(options.custom_flags(flags.bits().cast_signed()).clone())
        .open(path)
    {
        Ok(file) if file.metadata()?.is_file() => Ok(Opened::File(file.into_file())),
        Ok(_) => Ok(Opened::NotAFile),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Opened::Missing),
        Err(error) => match path.symlink_metadata() {
            Ok(metadata) if !metadata.is_file() => Ok(Opened::NotAFile),
            _ => Err(error),
        },
    }
}

/// Nothing that we write and read whole is larger.
const LARGEST: u64 = 1 << 20;

/// Reads a small file, none if it is not there; what is no file or larger than a MiB is an error.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    read_at_most(path, LARGEST)
}

/// The same for a file of up to so many bytes. A larger one, as what is no file, is an error of the kind `InvalidData`.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let strange = |what| Err(at(path.display())(io::Error::new(ErrorKind::InvalidData, what)));
    let file = match open(path)? {
        Opened::File(file) => file,
        Opened::Missing => return Ok(None),
        Opened::NotAFile => return strange("not a regular file"),
    };
    match up_to(most, file).map_err(at(path.display()))? {
        None => strange("larger than anything that is written here"),
        bytes => Ok(bytes),
    }
}

/// All that there is to read, if that is not more than `most` bytes. Its length is not asked for first: it may be growing.
pub fn up_to(most: u64, file: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(4 << 10);
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Opens `path` as a new, empty file with `mode` (less the umask), to read and write. A file is emptied; a link, a FIFO or
/// the like makes room for one; a directory is an error.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(mode);
    if let Opened::File(file) = open_with(path, &mut options)? {
        return Ok(file);
    }
    if path.symlink_metadata().is_ok() {
        fs_err::remove_file(path)?;
    }
    let file = fs_err::OpenOptions::from_options(options.create_new(true).clone()).open(path)?;
    Ok(file.into_file())
}

/// What a small file of ours says, in JSON; none if it is not there or cannot be read.
pub fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read(path).ok()??).ok()
}

/// Opens for reading what people have put there, perhaps as a link to elsewhere: in the end it has to be a file. Nobody waits
/// for the writer of a FIFO here either.
pub fn open_through_links(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs_err::OpenOptions::from_options(OpenOptions::new().read(true).custom_flags(flags).clone())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file.into_file());
    }
    Err(io::Error::new(ErrorKind::InvalidInput, format!("{} is no file", path.display())))
}

/// Opens `path` for reading.
pub fn open(path: &Path) -> io::Result<Opened> {
    open_with(path, OpenOptions::new().read(true))
}
