//! What is in `queue/`, for whoever only looks.

use std::io;

use super::folder::Folder;
use crate::queue::Listing;

/// Until two readings agree, as an entry may be renamed while the directory is read; but not for ever. A name that
/// is there both ways was renamed in between, or somebody has put a second entry beside the first.
pub fn list(queue: &Folder) -> io::Result<Listing> {
    let mut listing = list_once(queue)?;
    for _ in 0..3 {
        let again = list_once(queue)?;
        if again == listing {
            break;
        }
        listing = again;
    }
    Ok(listing)
}

fn list_once(queue: &Folder) -> io::Result<Listing> {
    let mut listing = Listing::default();
    queue.each_name(|name| listing.take_in(name))?;
    listing.sort();
    Ok(listing)
}
