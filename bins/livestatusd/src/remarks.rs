//! What people have said about shadow objects at their own site, as its dumps
//! carry it. It comes and goes with those dumps; what was said here stays.

use std::collections::{BTreeMap, BTreeSet};

use livestatus::query::Trigger;
use objects::{Comment, Downtime, UnixTime};

use crate::annotations::Annotated;
use crate::store::{Owner, Site};

/// Most comments and downtimes in one dump.
const MAX: usize = 100_000;
/// Most bytes of their authors and texts together.
const MAX_TEXT: usize = 64 << 20;

/// The comments and downtimes of a dump that has not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    comments: Vec<(Owner, Comment)>,
    downtimes: Vec<(Owner, Downtime)>,
    comments_gone: BTreeSet<u64>,
    downtimes_gone: BTreeSet<u64>,
    text: usize,
}

/// There are more than anybody has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Whether a dump names all that there are, or what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    All,
    Changes,
}

/// What became of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// They are here.
    pub(crate) taken: u64,
    /// They are about objects that are not configured, or that have too many.
    pub(crate) unknown: u64,
}

impl Remarks {
    /// Keeps a comment until the dump ends.
    pub(crate) fn comment(&mut self, owner: Owner, comment: Comment) -> Result<(), TooMany> {
        self.make_room(&owner, comment.author.len() + comment.comment.len())?;
        self.comments.push((owner, comment));
        Ok(())
    }

    /// Keeps a downtime until the dump ends.
    pub(crate) fn downtime(&mut self, owner: Owner, downtime: Downtime) -> Result<(), TooMany> {
        self.make_room(&owner, downtime.author.len() + downtime.comment.len())?;
        self.downtimes.push((owner, downtime));
        Ok(())
    }

    /// The comment of that id is no more at its site.
    pub(crate) fn comment_gone(&mut self, id: u64) -> Result<(), TooMany> {
        self.make_room(&Owner::default(), 0)?;
        self.comments_gone.insert(id);
        Ok(())
    }

    /// The downtime of that id is no more at its site.
    pub(crate) fn downtime_gone(&mut self, id: u64) -> Result<(), TooMany> {
        self.make_room(&Owner::default(), 0)?;
        self.downtimes_gone.insert(id);
        Ok(())
    }

    fn make_room(&mut self, owner: &Owner, text: usize) -> Result<(), TooMany> {
        let service = owner.service_description.as_ref();
        self.text += owner.host_name.len() + service.map_or(0, |name| name.len()) + text;
        let count = self.comments.len()
            + self.downtimes.len()
            + self.comments_gone.len()
            + self.downtimes_gone.len();
        if count >= MAX || self.text > MAX_TEXT {
            return Err(TooMany);
        }
        Ok(())
    }

    /// Puts them in the place of those that former dumps brought. One that was
    /// there already keeps its id.
    pub(crate) fn apply(self, site: &Site, extent: Extent, now: UnixTime) -> Outcome {
        let mut outcome = Outcome::default();
        let present = Present::of(site);
        let (changed, comments) = replace(
            site,
            present.comments,
            self.comments,
            |id| extent == Extent::All || self.comments_gone.contains(&id),
            &mut outcome,
            now,
        );
        if changed {
            site.annotations_changed(Trigger::Comment);
        }
        let (changed, downtimes) = replace(
            site,
            present.downtimes,
            self.downtimes,
            |id| extent == Extent::All || self.downtimes_gone.contains(&id),
            &mut outcome,
            now,
        );
        if changed {
            site.annotations_changed(Trigger::Downtime);
        }
        for (id, owner) in comments.into_iter().chain(downtimes) {
            site.remember(id, owner);
        }
        outcome
    }
}

/// What comments and downtimes have in common here.
trait Remark: Clone + PartialEq {
    fn id(&self) -> u64;
    fn origin(&self) -> Option<u64>;
    fn set(&mut self, id: u64, origin: u64);
    fn add(self, object: &mut dyn Annotated, at: UnixTime) -> bool;
    fn remove(id: u64, object: &mut dyn Annotated, at: UnixTime);
}

impl Remark for Comment {
    fn id(&self) -> u64 {
        self.id
    }

    fn origin(&self) -> Option<u64> {
        self.origin
    }

    fn set(&mut self, id: u64, origin: u64) {
        (self.id, self.origin) = (id, Some(origin));
    }

    fn add(self, object: &mut dyn Annotated, at: UnixTime) -> bool {
        object.add_comment(self, at)
    }

    fn remove(id: u64, object: &mut dyn Annotated, at: UnixTime) {
        object.remove_comments(&|comment| comment.id == id, at);
    }
}

impl Remark for Downtime {
    fn id(&self) -> u64 {
        self.id
    }

    fn origin(&self) -> Option<u64> {
        self.origin
    }

    fn set(&mut self, id: u64, origin: u64) {
        (self.id, self.origin) = (id, Some(origin));
    }

    fn add(self, object: &mut dyn Annotated, at: UnixTime) -> bool {
        object.add_downtime(self, at)
    }

    fn remove(id: u64, object: &mut dyn Annotated, at: UnixTime) {
        object.remove_downtimes(&|downtime| downtime.id == id, at);
    }
}

/// What former dumps brought, by the ids at their site.
#[derive(Default)]
struct Present {
    comments: BTreeMap<u64, (Owner, Comment)>,
    downtimes: BTreeMap<u64, (Owner, Downtime)>,
}

impl Present {
    fn of(site: &Site) -> Self {
        let mut present = Self::default();
        for owner in site.annotated_objects() {
            site.look_at(&owner, &mut |all| {
                for comment in &all.comments {
                    if let Some(origin) = comment.origin {
                        let entry = (owner.clone(), comment.clone());
                        present.comments.insert(origin, entry);
                    }
                }
                for downtime in &all.downtimes {
                    if let Some(origin) = downtime.origin {
                        let entry = (owner.clone(), downtime.clone());
                        present.downtimes.insert(origin, entry);
                    }
                }
            });
        }
        present
    }
}

/// Whether anything changed, and whose the new ones are.
fn replace<R: Remark>(
    site: &Site,
    mut present: BTreeMap<u64, (Owner, R)>,
    new: Vec<(Owner, R)>,
    is_gone: impl Fn(u64) -> bool,
    outcome: &mut Outcome,
    now: UnixTime,
) -> (bool, Vec<(u64, Owner)>) {
    let mut changed = false;
    let mut added = Vec::new();
    for (owner, mut remark) in new {
        let origin = remark.id();
        let former = present.remove(&origin);
        let id = former
            .as_ref()
            .map_or_else(|| site.next_id(), |(_, former)| former.id());
        remark.set(id, origin);
        if let Some((former_owner, former)) = former {
            if former_owner == owner && former == remark {
                outcome.taken += 1;
                continue;
            }
            site.with_object(&former_owner, &mut |object| R::remove(id, object, now));
            changed = true;
        }
        let mut fits = false;
        site.with_object(&owner, &mut |object| {
            fits = remark.clone().add(object, now);
        });
        if fits {
            changed = true;
            outcome.taken += 1;
            added.push((id, owner));
        } else {
            outcome.unknown += 1;
        }
    }
    for (origin, (owner, remark)) in present {
        if is_gone(origin) {
            debug_assert_eq!(remark.origin(), Some(origin));
            site.with_object(&owner, &mut |object| R::remove(remark.id(), object, now));
            changed = true;
        }
    }
    (changed, added)
}
