//! The entries of the queue: what is being built, what waits, and why.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    document::{Asked, Drain, Running, RunningStage, Waiting},
    folder::{Content, Folder, Stamp, what_is_wrong},
    records::RecordList,
    waits,
};
use crate::{
    queue::{BuildRequest, Cancel, EntryId, Lane, Listing, Origin},
    records::RunningAttempt,
};

/// So many of the waiting entries are opened, the first ones.
const FIRST_WAITING: usize = 200;

/// A text that does not parse and is younger may still be being written.
const SETTLES_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// The entries that have been read. Each is read again only when its file has changed.
#[derive(Debug, Default)]
pub struct Entries(HashMap<String, (Stamp, Arc<Entry>)>);

#[derive(Debug)]
enum Entry {
    Request { asked: Box<Asked>, lane: Lane },
    Refused(String),
}

/// Where entries are looked for.
#[derive(Debug)]
pub struct Place<'a> {
    /// Now.
    pub now: Timestamp,
    /// `queue/`.
    pub queue: &'a Folder,
    /// What is in it.
    pub names: &'a Listing,
    /// `builds/`, if there is one.
    pub records: Option<&'a Folder>,
    /// What is in that.
    pub recorded: &'a RecordList,
}

/// What its record says of an entry that has begun.
#[derive(Debug, Default)]
struct Begun {
    attempt: Option<RunningAttempt>,
    is_final: bool,
}

/// `queue/build-ID.retry`.
#[derive(Debug, Deserialize)]
struct Pause {
    #[serde(default)]
    until: Option<Timestamp>,
}

/// A waiting entry, and what is found beside it.
#[derive(Debug)]
struct Found<'a> {
    id: &'a EntryId,
    stamp: Stamp,
    entry: Arc<Entry>,
    begun: Begun,
    until: Option<Timestamp>,
    cancel: Option<Cancel>,
}

impl Entries {
    /// What is being built and what waits, in order. What has vanished since it was listed is over, and among the
    /// records.
    pub fn look(&mut self, place: &Place, drain: &Drain) -> (Vec<Running>, Vec<Waiting>) {
        let Place { names, .. } = place;
        let claimed: Vec<(&EntryId, Arc<Entry>)> = names
            .claimed
            .iter()
            .filter_map(|id| self.entry(place, id.claimed()).map(|(_, entry)| (id, entry)))
            .collect();
        let running: Vec<_> = claimed.iter().map(|(id, entry)| entry.running(id, place)).collect();
        let waiting: Vec<_> =
            names.waiting.iter().take(FIRST_WAITING).filter_map(|id| self.waiting(place, id)).collect();
        let around = waits::Around {
            now: place.now,
            held: drain.hold.is_some(),
            drain: drain.running,
            threads: drain.threads,
            running: running.len(),
            busy: claimed.iter().filter_map(|(id, entry)| Some((entry.lane()?, *id))).collect(),
        };
        let in_queue: Vec<_> = waiting.iter().map(|found| found.in_queue(names)).collect();
        let reasons = waits::reasons(&in_queue, &around);
        let waiting = waiting.iter().zip(reasons).map(|(found, reason)| found.waiting(reason)).collect();
        let seen: HashSet<String> = names
            .claimed
            .iter()
            .map(EntryId::claimed)
            .chain(names.waiting.iter().map(EntryId::waiting))
            .collect();
        self.0.retain(|name, _| seen.contains(name));
        (running, waiting)
    }

    fn waiting<'a>(&mut self, place: &Place<'a>, id: &'a EntryId) -> Option<Found<'a>> {
        let (stamp, entry) = self.entry(place, id.waiting())?;
        let begun = if place.recorded.has(id) { Begun::read(place.records, id) } else { Begun::default() };
        let pause = place.names.is_paused(id).then(|| place.queue.json::<Pause>(&id.retry()).value());
        let until = pause.flatten().and_then(|pause| pause.until);
        Some(Found { id, stamp, entry, begun, until, cancel: cancel(place, id) })
    }

    /// Reads an entry, unless it is as it was; none if it has vanished.
    fn entry(&mut self, place: &Place, name: String) -> Option<(Stamp, Arc<Entry>)> {
        let stamp = place.queue.stamp(&name)?;
        if let Some((_, entry)) = self.0.get(&name).filter(|(known, _)| *known == stamp) {
            return Some((stamp, Arc::clone(entry)));
        }
        let entry = Arc::new(Entry::read(place, &name, stamp)?);
        self.0.insert(name, (stamp, Arc::clone(&entry)));
        Some((stamp, entry))
    }
}

impl Entry {
    fn read(place: &Place, name: &str, stamp: Stamp) -> Option<Self> {
        let id = EntryId::of_waiting(name).or_else(|| EntryId::of_claimed(name))?;
        let age = stamp.modified().map(|modified| place.now.duration_since(modified).abs());
        let is_young = age.is_some_and(|age| age < SETTLES_WITHIN);
        let parse = |bytes: &[u8]| match serde_json::from_slice::<BuildRequest>(bytes) {
            Ok(request) => Ok((Asked::of(&id, &request, Origin::of_entry(bytes)), request.lane())),
            Err(error) if !error.is_data() && is_young => Err("is being written".to_string()),
            Err(error) => Err(format!("is no request: it {}", what_is_wrong(&error))),
        };
        Some(match place.queue.content(name, parse) {
            Content::Missing => return None,
            Content::Value((asked, lane)) => Self::Request { asked: Box::new(asked), lane },
            Content::Unreadable(why) => Self::Refused(
                why.strip_prefix(name).unwrap_or(&why).trim_start_matches([':', ' ']).to_string(),
            ),
        })
    }

    fn lane(&self) -> Option<&Lane> {
        match self {
            Self::Request { lane, .. } => Some(lane),
            Self::Refused(_) => None,
        }
    }

    fn asked(&self, id: &EntryId) -> Asked {
        match self {
            Self::Request { asked, .. } => Asked::clone(asked),
            Self::Refused(_) => Asked::unknown(id),
        }
    }

    fn running(&self, id: &EntryId, place: &Place) -> Running {
        let Begun { attempt, is_final } = Begun::read(place.records, id);
        let stage = match &attempt {
            _ if is_final => RunningStage::Recording,
            Some(_) => RunningStage::Running,
            None => RunningStage::Preparing,
        };
        Running { stage, cancel: cancel(place, id), ..Running::of(self.asked(id), attempt) }
    }
}

impl Begun {
    fn read(records: Option<&Folder>, id: &EntryId) -> Self {
        let Some(record) = records.and_then(|records| records.folder(id.as_str()).ok()) else {
            return Self::default();
        };
        Self { attempt: record.json("running.json").value(), is_final: record.stamp("result.json").is_some() }
    }
}

impl<'a> Found<'a> {
    fn in_queue(&'a self, names: &Listing) -> waits::Entry<'a> {
        let refused = match &*self.entry {
            _ if names.is_claimed(self.id) => Some("another entry of its name is being built"),
            _ if self.begun.is_final => Some("has the name of a finished build"),
            Entry::Refused(why) => Some(why.as_str()),
            Entry::Request { .. } => None,
        };
        waits::Entry {
            id: self.id,
            lane: self.entry.lane(),
            refused,
            cancelled: self.cancel.as_ref(),
            until: self.until,
        }
    }

    fn waiting(&self, reason: waits::Reason) -> Waiting {
        Waiting {
            asked: self.entry.asked(self.id),
            attempts: self.begun.attempt.as_ref().map_or(0, |attempt| attempt.attempt),
            since: self.stamp.changed(),
            waits_for: reason.waits_for,
            waits_for_text: reason.text,
            behind: reason.behind,
            until: self.until,
            cancel: self.cancel.clone(),
        }
    }
}

/// Who has asked to cancel it. A file without a word asks as well, since it is there.
fn cancel(place: &Place, id: &EntryId) -> Option<Cancel> {
    let stamp = place.names.is_cancelled(id).then(|| place.queue.stamp(&id.cancel()))??;
    let cancel: Cancel = place.queue.json(&id.cancel()).value().unwrap_or_default();
    Some(Cancel { since: cancel.since.or(stamp.modified()), ..cancel })
}
