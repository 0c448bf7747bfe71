//! What people have said about hosts and services, by object: acknowledgements
//! and downtimes. They are kept while the states pass by; there are few.

use std::collections::BTreeMap;

use nagios::check_result::Full;
use objects::{Comment, Downtime, EntryType, ObjectName};
use program::Failure;
use source::{Scope, Source, remarks};

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Annotations(BTreeMap<ObjectName, (Vec<Comment>, Vec<Downtime>)>);

impl Annotations {
    /// Asks for them.
    pub(crate) fn ask(source: &Source, scope: &Scope) -> Result<Self, Failure> {
        let mut all = BTreeMap::<_, (Vec<_>, Vec<_>)>::new();
        remarks::each_comment(source, scope, |object, comment| {
            if comment.entry_type == EntryType::Acknowledgement {
                all.entry(object.clone())
                    .or_default()
                    .0
                    .push(comment.clone());
            }
            Ok(())
        })?;
        remarks::each_downtime(source, scope, |object, downtime| {
            all.entry(object.clone())
                .or_default()
                .1
                .push(downtime.clone());
            Ok(())
        })?;
        for (comments, downtimes) in all.values_mut() {
            comments.sort_by_key(|comment| (comment.entry_time, comment.id));
            downtimes.sort_by_key(|downtime| (downtime.start_time, downtime.id));
        }
        Ok(Self(all))
    }

    /// Adds what was said about an object.
    pub(crate) fn add(&self, object: &ObjectName, full: &mut Full) {
        full.acknowledgement_comments.clear();
        full.downtimes.clear();
        if let Some((comments, downtimes)) = self.0.get(object) {
            // What was said before it was taken back says nothing any more.
            if full.acknowledgement.is_some() {
                full.acknowledgement_comments.clone_from(comments);
            }
            full.downtimes.clone_from(downtimes);
        }
    }
}
