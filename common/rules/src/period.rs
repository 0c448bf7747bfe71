//! Time periods: which minutes of which days belong to them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use objects::UnixTime;

/// Periods that exclude each other are followed so deep.
const MAX_DEPTH: usize = 8;
const MINUTES_OF_A_DAY: u16 = 24 * 60;
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// All periods, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Periods(BTreeMap<String, Period>);

/// One period.
#[derive(Debug, Clone, Default)]
pub(crate) struct Period {
    days: Vec<(Day, Vec<Range>)>,
    /// Names of periods whose times do not belong to it.
    exclude: Vec<String>,
    /// `None` is that of the machine.
    zone: Option<TimeZone>,
}

/// Which days a line of a period is about; a date counts before a weekday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    Week(Weekday),
    On(Date),
}

/// From a minute of the day up to, but not with, another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    from: u16,
    to: u16,
}

impl Period {
    /// Takes a line: the day (`monday`, `2026-12-24`) and its ranges
    /// (`08:00-17:00`), none for a day on which nothing belongs to it.
    pub(crate) fn add<'t>(
        &mut self,
        day: &str,
        ranges: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), String> {
        let day = Day::parse(day)?;
        let ranges: Result<Vec<Range>, String> = ranges.into_iter().map(Range::parse).collect();
        self.days.push((day, ranges?));
        Ok(())
    }

    /// What belongs to the period `name` does not belong to this one.
    pub(crate) fn exclude(&mut self, name: String) {
        self.exclude.push(name);
    }

    /// Sets the time zone, by its name in the time zone database.
    pub(crate) fn set_zone(&mut self, name: &str) -> Result<(), String> {
        let zone = TimeZone::get(name).map_err(|error| format!("is no time zone: {error}"))?;
        self.zone = Some(zone);
        Ok(())
    }

    fn has(&self, at: UnixTime) -> bool {
        let Ok(at) = Timestamp::from_microsecond(at.micros()) else {
            return false;
        };
        let local = at.to_zoned(self.zone.clone().unwrap_or_else(TimeZone::system));
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute()));
        let minute = minute.unwrap_or(0);
        let on = |wanted: Day| {
            let lines = self.days.iter().filter(move |(day, _)| *day == wanted);
            lines.map(|(_, ranges)| ranges)
        };
        let mut of_date = on(Day::On(local.date())).peekable();
        let is_in = |range: &Range| (range.from..range.to).contains(&minute);
        if of_date.peek().is_some() {
            return of_date.flatten().any(is_in);
        }
        on(Day::Week(local.weekday())).flatten().any(is_in)
    }
}

impl Periods {
    pub(crate) fn insert(&mut self, name: String, period: Period) -> Option<Period> {
        self.0.insert(name, period)
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        is_always(name) || self.0.contains_key(name)
    }

    /// Names that are excluded somewhere and do not exist, with who names them.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, period)| {
            let excluded = period.exclude.iter().filter(|other| !self.knows(other));
            excluded.map(move |other| (name.as_str(), other.as_str()))
        })
    }

    /// Whether a moment belongs to the period `name`. One that is not known, as
    /// an old contact may name one, has every moment: somebody is told too
    /// much rather than nobody.
    pub(crate) fn has(&self, name: &str, at: UnixTime) -> bool {
        self.has_at_depth(name, at, 0)
    }

    fn has_at_depth(&self, name: &str, at: UnixTime, depth: usize) -> bool {
        let Some(period) = self.0.get(name) else {
            return true;
        };
        let is_excluded = |other: &String| {
            depth < MAX_DEPTH
                && self.0.contains_key(other)
                && self.has_at_depth(other, at, depth + 1)
        };
        period.has(at) && !period.exclude.iter().any(is_excluded)
    }
}

/// The names that every core knows without a definition.
pub(crate) fn is_always(name: &str) -> bool {
    name.is_empty() || name.eq_ignore_ascii_case("24x7")
}

impl Day {
    fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if let Some((_, weekday)) = WEEKDAYS.iter().find(|(name, _)| *name == lower) {
            return Ok(Self::Week(*weekday));
        }
        text.parse().map(Self::On).map_err(|_| {
            format!("{text:?} is no day: a weekday or a date such as 2026-12-24 is known")
        })
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range such as \"08:00-17:00\"");
        let (from, to) = text.trim().split_once('-').ok_or_else(wrong)?;
        let minute = |time: &str| {
            let (hour, minute) = time.split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            let all = hour.checked_mul(60)?.checked_add(minute)?;
            (minute < 60 && all <= MINUTES_OF_A_DAY).then_some(all)
        };
        let from = minute(from.trim()).ok_or_else(wrong)?;
        let to = minute(to.trim()).ok_or_else(wrong)?;
        if from >= to {
            return Err(format!("{text:?} ends before it begins"));
        }
        Ok(Self { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixTime {
        let at: Timestamp = text.parse().unwrap();
        UnixTime::from_micros(at.as_microsecond())
    }

    fn periods() -> Periods {
        let mut work = Period::default();
        work.set_zone("Europe/Berlin").unwrap();
        work.add("monday", ["08:00-12:00", "13:00-17:00"]).unwrap();
        work.add("2026-11-23", ["10:00-11:00"]).unwrap();
        work.add("2026-12-28", []).unwrap();
        work.exclude("maintenance".to_owned());
        let mut maintenance = Period::default();
        maintenance.set_zone("UTC").unwrap();
        maintenance.add("Monday", ["09:00-10:00"]).unwrap();
        let mut circle = Period::default();
        circle.add("monday", ["00:00-24:00"]).unwrap();
        circle.exclude("circle".to_owned());
        let mut periods = Periods::default();
        periods.insert("work".to_owned(), work);
        periods.insert("maintenance".to_owned(), maintenance);
        periods.insert("circle".to_owned(), circle);
        periods
    }

    #[test]
    fn a_moment_belongs_to_a_period_by_its_local_time() {
        let periods = periods();
        for (moment, want) in [
            ("2026-11-16T06:59:59Z", false),
            ("2026-11-16T07:00:00Z", true),
            ("2026-11-16T10:59:59Z", true),
            ("2026-11-16T11:00:00Z", false),
            // In summer Berlin is two hours ahead.
            ("2026-07-06T06:00:00Z", true),
            // On a date of its own the weekday does not count.
            ("2026-11-23T07:00:00Z", false),
            ("2026-11-23T09:00:00Z", false),
            ("2026-12-28T09:00:00Z", false),
            // Excluded.
            ("2026-11-16T09:30:00Z", false),
            ("2026-11-17T09:30:00Z", false),
        ] {
            assert_eq!(periods.has("work", at(moment)), want, "{moment}");
        }
        assert!(periods.has("24X7", at("2026-11-16T09:30:00Z")));
        assert!(periods.has("nobody knows", at("2026-11-16T09:30:00Z")));
        periods.has("circle", at("2026-11-16T09:30:00Z"));
    }

    #[test]
    fn bad_lines_are_named() {
        let mut period = Period::default();
        for (day, range, want) in [
            ("someday", "08:00-09:00", "no day"),
            ("monday", "8-9", "no range"),
            ("monday", "08:00-24:01", "no range"),
            ("monday", "08:70-09:00", "no range"),
            ("monday", "09:00-08:00", "ends before"),
        ] {
            let error = period.add(day, [range]).unwrap_err();
            assert!(error.contains(want), "{day} {range}: {error}");
        }
    }
}
