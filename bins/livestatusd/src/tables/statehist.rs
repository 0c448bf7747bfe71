//! The table `statehist`: how long every host and service was in which state,
//! from a moment that the query names until another one, or now.
//!
//! The history has a line for every change, with what was before; between two
//! changes nothing has changed. So what an object was at the beginning is said
//! by its first line after that, or by its present state if there is no such
//! line. The files are read twice: once for the beginning of all objects, then
//! for the spans of time, which are given out as they end. What is kept in
//! memory is one span for each object.
//!
//! From the beginning until an object became known it was not monitored.

use std::ops::ControlFlow;
use std::sync::Arc;

use bstr::{BString, ByteSlice};
use livestatus::ColumnType::{Float, Int, Text, Time};
use livestatus::Value;
use objects::{StateCode, UnixTime};

use super::{Column, Get, HostRow, Row, ServiceRow, View, hosts, services};
use crate::annotations::Annotated;
use crate::auth::Viewer;
use crate::check::State;
use crate::history::{Event, Step, What};
use crate::owners::Owner;
use crate::store::{Objects, Site};

/// The state of what was not monitored.
const UNMONITORED: i8 = -1;

/// A span of time in which nothing changed.
pub(crate) struct StatehistRow<'a> {
    site: &'a Site,
    span: &'a Span,
    from: i64,
    until: i64,
    state: i8,
    host_down: bool,
    in_host_downtime: bool,
    /// Length of the time that the query is about.
    timeframe: i64,
    pub(super) host: HostRow<'a>,
    pub(super) service: Option<ServiceRow<'a>>,
}

/// What an object was since a moment.
struct Span {
    from: i64,
    /// Before that, nothing was known.
    known_since: i64,
    state: i8,
    in_downtime: bool,
    is_flapping: bool,
    /// Whether who asks may see it.
    is_seen: bool,
    /// The line that began it; 0 if it began before.
    lineno: usize,
    cause: Cause,
}

/// What the plugin said when the state began.
enum Cause {
    /// That was before the beginning.
    Before,
    /// What it says now.
    Now,
    /// This.
    Said(BString),
}

/// What the first lines of an object have said about it already.
#[derive(Clone, Copy, Default)]
struct Told {
    state: bool,
    downtime: bool,
    flapping: bool,
}

pub(super) fn for_each(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (from, until) = (*view.times.start(), *view.times.end());
    let until = until.min(view.now.secs());
    if from >= until {
        return ControlFlow::Continue(());
    }
    for (site, viewer) in view.sites() {
        let mut course = Course::new(site, viewer, view.now, from, until);
        if let Some(history) = site.history() {
            history.flush(view.now);
            let mut told = vec![Told::default(); course.spans.len()];
            let _ = history.oldest_first(&(from..=i64::MAX), |event, _| {
                course.look_back(&event, &mut told);
                ControlFlow::Continue(())
            });
            history.oldest_first(&(from..=until), |event, lineno| {
                course.follow(event, lineno, &mut visit)
            })?;
        }
        course.end(&mut visit)?;
    }
    ControlFlow::Continue(())
}

/// The objects of a site, on their way from the beginning to the end.
struct Course<'v> {
    site: &'v Site,
    viewer: Option<&'v Viewer>,
    objects: Arc<Objects>,
    now: UnixTime,
    from: i64,
    until: i64,
    /// Of each host, followed by those of its services.
    spans: Vec<Span>,
    /// Where the spans of each host begin.
    places: Vec<usize>,
}

impl<'v> Course<'v> {
    /// All objects as they are now.
    fn new(
        site: &'v Site,
        viewer: Option<&'v Viewer>,
        now: UnixTime,
        from: i64,
        until: i64,
    ) -> Self {
        let objects = site.objects();
        let (mut spans, mut places) = (Vec::new(), Vec::new());
        for host in &objects.hosts {
            places.push(spans.len());
            let states = host.states();
            let row = HostRow {
                site,
                objects: &objects,
                host,
                states: &states,
                viewer,
                now,
            };
            spans.push(Span::of(&states.host, row.is_seen(), from));
            for (at, state) in states.services.iter().enumerate() {
                let is_seen = ServiceRow::new(row, at).is_seen();
                spans.push(Span::of(state, is_seen, from));
            }
        }
        Self {
            site,
            viewer,
            objects,
            now,
            from,
            until,
            spans,
            places,
        }
    }

    /// The place of a host in the list, and that of the object among the spans.
    fn find(&self, owner: &Owner) -> Option<(usize, usize)> {
        let host_name = owner.host_name.as_bstr();
        let hosts = &self.objects.hosts;
        let at = hosts
            .binary_search_by(|host| host.name.as_bstr().cmp(host_name))
            .ok()?;
        let place = self.places[at];
        match &owner.service_description {
            None => Some((at, place)),
            Some(name) => Some((at, place + 1 + hosts[at].service_index(name.as_bstr())?)),
        }
    }

    /// The first line about something says what was before it.
    fn look_back(&mut self, event: &Event, told: &mut [Told]) {
        let Some((_, place)) = self.find(&event.owner) else {
            return;
        };
        let (span, told) = (&mut self.spans[place], &mut told[place]);
        match &event.what {
            What::Alert(alert) if !told.state => {
                told.state = true;
                span.cause = Cause::Before;
                span.state = alert.was.map_or(UNMONITORED, |was| was.state as i8);
                span.known_since = alert.was.map_or(self.from, |was| was.since.secs());
            }
            What::Downtime(step) if !told.downtime => {
                told.downtime = true;
                span.in_downtime = *step != Step::Started;
            }
            What::Flapping(step) if !told.flapping => {
                told.flapping = true;
                span.is_flapping = *step != Step::Started;
            }
            _ => {}
        }
    }

    /// Something changes: spans end, and others begin.
    fn follow(
        &mut self,
        event: Event,
        lineno: usize,
        visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some((host, place)) = self.find(&event.owner) else {
            return ControlFlow::Continue(());
        };
        let span = &self.spans[place];
        let (mut state, mut in_downtime, mut is_flapping) =
            (span.state, span.in_downtime, span.is_flapping);
        let mut cause = None;
        match event.what {
            What::Alert(alert) => {
                state = alert.state as i8;
                cause = Some(Cause::Said(alert.plugin_output));
            }
            What::Downtime(step) => in_downtime = step == Step::Started,
            What::Flapping(step) => is_flapping = step == Step::Started,
            What::Command(_) => {}
        }
        if (state, in_downtime, is_flapping) == (span.state, span.in_downtime, span.is_flapping) {
            return ControlFlow::Continue(());
        }
        // Its services show whether a host is down or in a downtime.
        let shown = (span.state > 0, span.in_downtime) != (state > 0, in_downtime);
        let last = match event.owner.service_description {
            None if shown => self.end_of_host(host),
            _ => place + 1,
        };
        let at = event.time.secs();
        for place in place..last {
            self.close(host, place, at, visit)?;
        }
        let span = &mut self.spans[place];
        (span.state, span.in_downtime, span.is_flapping) = (state, in_downtime, is_flapping);
        span.lineno = lineno;
        if let Some(cause) = cause {
            span.cause = cause;
        }
        ControlFlow::Continue(())
    }

    /// What has not ended ends here.
    fn end(&mut self, visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        for host in 0..self.places.len() {
            for place in self.places[host]..self.end_of_host(host) {
                self.close(host, place, self.until, visit)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn end_of_host(&self, host: usize) -> usize {
        self.places[host] + 1 + self.objects.hosts[host].services.len()
    }

    /// Gives a span out, and begins the next one.
    fn close(
        &mut self,
        host: usize,
        place: usize,
        until: i64,
        visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let span = &self.spans[place];
        let (from, known) = (
            span.from,
            span.known_since.clamp(span.from, until.max(span.from)),
        );
        if span.is_seen {
            let entry = &self.objects.hosts[host];
            let states = entry.states();
            let row = HostRow {
                site: self.site,
                objects: &self.objects,
                host: entry,
                states: &states,
                viewer: self.viewer,
                now: self.now,
            };
            let of_host = &self.spans[self.places[host]];
            let service = place.checked_sub(self.places[host] + 1);
            for (from, until, state) in [(from, known, UNMONITORED), (known, until, span.state)] {
                if from < until {
                    visit(&Row::Statehist(&StatehistRow {
                        site: self.site,
                        span,
                        from,
                        until,
                        state,
                        host_down: of_host.state > 0,
                        in_host_downtime: of_host.in_downtime,
                        timeframe: self.until - self.from,
                        host: row,
                        service: service.map(|at| ServiceRow::new(row, at)),
                    }))?;
                }
            }
        }
        self.spans[place].from = until.max(from);
        ControlFlow::Continue(())
    }
}

impl Span {
    /// What the object is now, as if it had been that from the beginning.
    fn of<S: StateCode>(state: &State<S>, is_seen: bool, from: i64) -> Self {
        let now = &state.now;
        let code = now.state.code();
        let others = now.past.last_time.iter().enumerate();
        let was_other = |(other, time): (usize, &UnixTime)| {
            other != usize::from(code) && !time.is_never() && *time < now.last_state_change
        };
        // A change and back that was never seen here is no reason to call what
        // was before unknown.
        let known_since = if others.into_iter().any(was_other) {
            from
        } else {
            now.last_state_change.secs()
        };
        Self {
            from,
            known_since,
            state: if now.has_been_checked {
                code as i8
            } else {
                UNMONITORED
            },
            in_downtime: state.is_in_downtime(),
            is_flapping: now.has_been_checked && now.is_flapping,
            is_seen,
            lineno: 0,
            cause: Cause::Now,
        }
    }
}

impl<'a> StatehistRow<'a> {
    fn duration(&self) -> i64 {
        self.until - self.from
    }

    /// The duration if it is in that state.
    fn duration_in(&self, state: i8) -> i64 {
        if self.state == state {
            self.duration()
        } else {
            0
        }
    }

    fn part(&self, duration: i64) -> f64 {
        duration as f64 / self.timeframe as f64
    }

    fn output(&'a self) -> Value<'a> {
        match &self.span.cause {
            _ if self.state == UNMONITORED => Value::text(""),
            Cause::Before => Value::text(""),
            Cause::Now => match &self.service {
                Some(service) => Value::text(&service.state().now.plugin_output),
                None => Value::text(&self.host.state().now.plugin_output),
            },
            Cause::Said(text) => Value::text(text),
        }
    }
}

macro_rules! duration_columns {
    ($($state:literal $name:literal $part:literal $what:literal;)*) => {
        [$(
            Column::new($name, Int, concat!("Seconds of this that it was ", $what),
                Get::Statehist(|r| Value::Int(r.duration_in($state)))),
            Column::new($part, Float, concat!("Part of the time asked for that it was ", $what, " here"),
                Get::Statehist(|r| Value::Float(r.part(r.duration_in($state))))),
        )*]
    };
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("duration", Int, "Seconds from beginning to end", Get::Statehist(|r| Value::Int(r.duration()))),
        Column::new("duration_part", Float, "Part of the time asked for", Get::Statehist(|r| Value::Float(r.part(r.duration())))),
        Column::new("from", Time, "When it began", Get::Statehist(|r| Value::Int(r.from))),
        Column::new("host_down", Int, "Whether the host was not up (0/1)", Get::Statehist(|r| r.host_down.into())),
        Column::new("host_name", Text, "The host", Get::Statehist(|r| Value::text(&r.host.host.name))),
        Column::new("in_downtime", Int, "Whether it was in a downtime (0/1)", Get::Statehist(|r| r.span.in_downtime.into())),
        Column::new("in_host_downtime", Int, "Whether the host was in a downtime (0/1)", Get::Statehist(|r| r.in_host_downtime.into())),
        Column::new("is_flapping", Int, "Whether it flapped (0/1)", Get::Statehist(|r| r.span.is_flapping.into())),
        Column::new("lineno", Int, "The line of the log that began it; 0 if it began before", Get::Statehist(|r| Value::Int(r.span.lineno as i64))),
        Column::new("log_output", Text, "What the plugin said when it began", Get::Statehist(|r| r.output())),
        Column::new("long_log_output", Text, "As log_output", Get::Statehist(|r| r.output())),
        Column::new("service_description", Text, "The service; empty if it is about a host",
            Get::Statehist(|r| r.service.as_ref().map_or(Value::text(""), |r| Value::text(r.description())))),
        Column::new("site", Text, "The site it belongs to", Get::Statehist(|r| Value::text(r.site.id.as_str()))),
        Column::new("state", Int, "The state; -1 not monitored", Get::Statehist(|r| Value::Int(r.state.into()))),
        Column::new("time", Time, "As from", Get::Statehist(|r| Value::Int(r.from))),
        Column::new("until", Time, "When it ended", Get::Statehist(|r| Value::Int(r.until))),
        Column::neutral("in_notification_period", Int, "Always 1: time periods are not known here", || Value::Int(1)),
        Column::neutral("in_service_period", Int, "Always 1: time periods are not known here", || Value::Int(1)),
    ];
    columns.extend(duration_columns! {
        0 "duration_ok" "duration_part_ok" "ok or up";
        1 "duration_warning" "duration_part_warning" "warning or down";
        2 "duration_critical" "duration_part_critical" "critical or unreachable";
        3 "duration_unknown" "duration_part_unknown" "unknown";
        -1 "duration_unmonitored" "duration_part_unmonitored" "not monitored";
    });
    columns.extend(Column::nothing(Text, "Always empty", "debug_info notification_period service_period"));
    let of_host = hosts::columns().into_iter();
    columns.extend(of_host.map(|column| column.prefixed("current_host_")));
    let of_service = services::own_columns().into_iter();
    columns.extend(of_service.map(|column| column.prefixed("current_service_")));
    columns
}
