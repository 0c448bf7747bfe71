//! The table `sites`: where configuration and states come from, and how old
//! they are.

use std::ops::ControlFlow;

use livestatus::ColumnType::{Float, Int, Text, Time};
use livestatus::Value;
use objects::{SiteId, UnixTime};

use super::checked::time;
use super::{Column, Get, Row, View};
use crate::store::SiteStatus;

/// One site, as of one moment.
pub(crate) struct SiteRow {
    site: SiteId,
    status: SiteStatus,
    num_hosts: usize,
    num_services: usize,
    now: UnixTime,
}

pub(super) fn for_each(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for site in view.sites {
        let objects = site.objects();
        let row = SiteRow {
            site: site.id.clone(),
            status: site.status().clone(),
            num_hosts: objects.hosts.len(),
            num_services: objects.num_services,
            now: view.now,
        };
        visit(&Row::Site(&row))?;
    }
    ControlFlow::Continue(())
}

impl SiteRow {
    fn state_age(&self) -> Option<f64> {
        let time = self.status.dumps.time;
        (!time.is_never()).then(|| (self.now.as_secs_f64() - time.as_secs_f64()).max(0.0))
    }

    fn reason(&self) -> &str {
        match &self.status.dumps.completeness {
            Ok(()) => "",
            Err(reason) => reason,
        }
    }
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::new("site", Text, "Name of the site", Get::Site(|r| Value::text(r.site.as_str()))),
        Column::new("config_time", Time, "Time of its configuration: that of the frame, else of the newest file",
            Get::Site(|r| time(r.status.config_time))),
        Column::new("config_loaded_at", Time, "When that configuration was taken in",
            Get::Site(|r| time(r.status.config_loaded_at))),
        Column::new("config_error", Text, "Why the files as they are now are not in force; empty if they are",
            Get::Site(|r| Value::text(&r.status.config_error))),
        Column::new("state_time", Time, "Clock of the source at the start of the last complete dump",
            Get::Site(|r| time(r.status.dumps.time))),
        Column::new("state_received_at", Time, "When the last dump, complete or not, ended here",
            Get::Site(|r| time(r.status.dumps.received_at))),
        Column::new("state_age", Float, "Seconds since state_time; null if there was no complete dump",
            Get::Site(|r| r.state_age().into())),
        Column::new("state_complete", Int, "Whether the last dump was complete (0/1)",
            Get::Site(|r| r.status.dumps.completeness.is_ok().into())),
        Column::new("state_reason", Text, "Why it was not", Get::Site(|r| Value::text(r.reason()))),
        Column::new("state_records", Int, "States applied from the last dump",
            Get::Site(|r| Value::Int(r.status.dumps.counts.taken as i64))),
        Column::new("state_unknown", Int, "States in the last dump of objects that are not configured",
            Get::Site(|r| Value::Int(r.status.dumps.counts.unknown as i64))),
        Column::new("state_missing", Int, "Configured objects that the last complete full dump did not name",
            Get::Site(|r| Value::Int(r.status.dumps.counts.missing as i64))),
        Column::new("num_hosts", Int, "Hosts configured", Get::Site(|r| Value::Int(r.num_hosts as i64))),
        Column::new("num_services", Int, "Services configured", Get::Site(|r| Value::Int(r.num_services as i64))),
        Column::new("claimed_site", Text, "The site that the last dump said it is from; the socket decides",
            Get::Site(|r| Value::text(r.status.dumps.claimed_site.as_ref().map_or("", SiteId::as_str)))),
    ]
}
