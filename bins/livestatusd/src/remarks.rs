//! What people have said about shadow objects at their own site, as its dumps
//! carry it. It comes and goes with those dumps; what was said here stays.

use std::collections::{BTreeMap, BTreeSet};

use livestatus::query::Trigger;
use objects::UnixTime;

use crate::annotations::{Annotated, Comment, Downtime, Origin};
use crate::history::Step;
use crate::owners::Owner;
use crate::store::Site;

/// Most comments and downtimes in one dump.
const MAX: usize = 100_000;
/// Most bytes of their authors and texts together.
const MAX_TEXT: usize = 64 << 20;

/// The comments and downtimes of a dump that has not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    comments: Vec<(Owner, objects::Comment)>,
    downtimes: Vec<(Owner, objects::Downtime)>,
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
    pub(crate) fn comment(
        &mut self,
        owner: Owner,
        comment: objects::Comment,
    ) -> Result<(), TooMany> {
        self.make_room(&owner, comment.author.len() + comment.comment.len())?;
        self.comments.push((owner, comment));
        Ok(())
    }

    /// Keeps a downtime until the dump ends.
    pub(crate) fn downtime(
        &mut self,
        owner: Owner,
        downtime: objects::Downtime,
    ) -> Result<(), TooMany> {
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
    pub(crate) fn apply(self, site: &Site, dump: u64, extent: Extent, now: UnixTime) -> Outcome {
        let mut outcome = Outcome::default();
        let (comments, downtimes) = present(site);
        let is_gone = |id| extent == Extent::All || self.comments_gone.contains(&id);
        let new = self.comments.into_iter();
        let new = new.map(|(owner, comment)| (owner, Comment::of_site(comment, 0, dump)));
        if replace(site, comments, new, is_gone, &mut outcome, now) {
            site.annotations_changed(Trigger::Comment);
        }
        let is_gone = |id| extent == Extent::All || self.downtimes_gone.contains(&id);
        let new = self.downtimes.into_iter();
        let new = new.map(|(owner, downtime)| (owner, Downtime::of_site(downtime, 0, dump)));
        if replace(site, downtimes, new, is_gone, &mut outcome, now) {
            site.annotations_changed(Trigger::Downtime);
        }
        outcome
    }
}

/// What comments and downtimes have in common here.
trait Remark: Clone + PartialEq {
    fn id(&mut self) -> &mut u64;
    fn origin(&mut self) -> &mut Origin;
    /// Forgets what it has learned since the dump that brought it.
    fn brought(self) -> Self;
    fn add(self, object: &mut dyn Annotated, at: UnixTime) -> bool;
    fn remove(id: u64, object: &mut dyn Annotated, at: UnixTime);
}

impl Remark for Comment {
    fn id(&mut self) -> &mut u64 {
        &mut self.id
    }

    fn origin(&mut self) -> &mut Origin {
        &mut self.origin
    }

    fn brought(self) -> Self {
        self
    }

    fn add(self, object: &mut dyn Annotated, at: UnixTime) -> bool {
        object.add_comment(self, at)
    }

    fn remove(id: u64, object: &mut dyn Annotated, at: UnixTime) {
        object.remove_comments(&|comment| comment.id == id, at);
    }
}

impl Remark for Downtime {
    fn id(&mut self) -> &mut u64 {
        &mut self.id
    }

    fn origin(&mut self) -> &mut Origin {
        &mut self.origin
    }

    fn brought(mut self) -> Self {
        self.has_begun = false;
        self
    }

    fn add(self, object: &mut dyn Annotated, at: UnixTime) -> bool {
        object.add_downtime(self, at)
    }

    fn remove(id: u64, object: &mut dyn Annotated, at: UnixTime) {
        object.remove_downtimes(&|downtime| downtime.id == id, at);
    }
}

/// What former dumps brought, by the ids at their site.
type Present<R> = BTreeMap<u64, (Owner, R)>;

fn present(site: &Site) -> (Present<Comment>, Present<Downtime>) {
    let (mut comments, mut downtimes) = (Present::new(), Present::new());
    for owner in site.owners().objects() {
        site.look_at(&owner, &mut |all| {
            for comment in &all.comments {
                if let Origin::Site { id, .. } = comment.origin {
                    comments.insert(id, (owner.clone(), comment.clone()));
                }
            }
            for downtime in &all.downtimes {
                if let Origin::Site { id, .. } = downtime.origin {
                    downtimes.insert(id, (owner.clone(), downtime.clone()));
                }
            }
        });
    }
    (comments, downtimes)
}

/// Whether anything changed.
fn replace<R: Remark>(
    site: &Site,
    mut present: Present<R>,
    new: impl Iterator<Item = (Owner, R)>,
    is_gone: impl Fn(u64) -> bool,
    outcome: &mut Outcome,
    now: UnixTime,
) -> bool {
    let mut changed = false;
    for (owner, mut remark) in new {
        let Origin::Site { id: origin, .. } = *remark.origin() else {
            continue;
        };
        match present.remove(&origin) {
            None => *remark.id() = site.next_id(),
            Some((former_owner, former)) => {
                let mut former = former.brought();
                let id = *former.id();
                *remark.id() = id;
                // Which dump said so makes no difference.
                *former.origin() = *remark.origin();
                if former_owner == owner && former == remark {
                    outcome.taken += 1;
                    continue;
                }
                let mut remove = |object: &mut dyn Annotated| R::remove(id, object, now);
                site.annotate(&former_owner, now, Step::Stopped, &mut remove);
                changed = true;
            }
        }
        let mut fits = false;
        site.annotate(&owner, now, Step::Stopped, &mut |object| {
            fits = remark.clone().add(object, now);
        });
        if fits {
            changed = true;
            outcome.taken += 1;
            site.owners().remember(*remark.id(), owner);
        } else {
            outcome.unknown += 1;
        }
    }
    for (origin, (owner, mut remark)) in present {
        if is_gone(origin) {
            let id = *remark.id();
            let mut remove = |object: &mut dyn Annotated| R::remove(id, object, now);
            site.annotate(&owner, now, Step::Cancelled, &mut remove);
            changed = true;
        }
    }
    changed
}
