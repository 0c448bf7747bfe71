//! What happened to a site's objects, as lines of text in a file for each day
//! (UTC). `event` says what they look like.
//!
//! The time is that at which a change became known here, so that a file is in
//! order and a day's changes are in the file of that day.
//!
//! Whoever notes a change never waits for the disk: lines are gathered, and
//! written by [`History::flush`]. What cannot be kept is counted and reported.

mod event;
mod lines;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bstr::ByteSlice;
use objects::UnixTime;
use tracing::warn;

use crate::counters::Counter;
pub(crate) use event::{Alert, Event, Step, Was, What};
use lines::Backwards;

/// Most bytes that wait to be written.
const MAX_WAITING: usize = 16 << 20;
/// Largest file of a day.
const MAX_FILE: u64 = 64 << 20;
const DAY: i64 = 86_400;

/// Where history is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The directory with one directory per site.
    pub(crate) directory: PathBuf,
    /// How many days are kept.
    pub(crate) days: u32,
}

/// The history of one site.
pub(crate) struct History {
    directory: PathBuf,
    days: u32,
    waiting: Mutex<Waiting>,
    /// Lines kept since the start.
    pub(crate) noted: Counter,
    /// Held while files are written.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    days: Vec<Day>,
    size: usize,
    dropped: u64,
}

/// Lines of one day.
struct Day {
    day: i64,
    lines: Vec<u8>,
    count: u64,
}

impl History {
    /// The history of the site of that name.
    pub(crate) fn new(settings: &Settings, site: &str) -> Self {
        Self {
            directory: settings.directory.join(site),
            days: settings.days,
            waiting: Mutex::default(),
            noted: Counter::default(),
            writing: Mutex::default(),
        }
    }

    /// Notes what happened.
    pub(crate) fn note(&self, event: &Event) {
        let day = day_of(event.time);
        let mut waiting = self.waiting();
        if waiting.size > MAX_WAITING {
            waiting.dropped += 1;
            return;
        }
        if waiting.days.last().is_none_or(|last| last.day != day) {
            waiting.days.push(Day {
                day,
                lines: Vec::new(),
                count: 0,
            });
        }
        let Some(last) = waiting.days.last_mut() else {
            return;
        };
        let before = last.lines.len();
        event.print(&mut last.lines);
        last.count += 1;
        let length = last.lines.len() - before;
        waiting.size += length;
        self.noted.add();
    }

    /// Writes what was noted, and removes what is too old.
    pub(crate) fn flush(&self, now: UnixTime) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *self.waiting());
        if waiting.dropped > 0 {
            let dropped = waiting.dropped;
            warn!(
                "{}: {dropped} changes of state came too fast to be kept",
                self.directory.display()
            );
        }
        for day in &waiting.days {
            let path = self.file(day.day);
            if let Err(error) = append(&path, &day.lines) {
                let count = day.count;
                warn!(
                    "{}: some of {count} changes of state are lost: {error}",
                    path.display()
                );
            }
        }
        if !waiting.days.is_empty() {
            self.remove_old(now);
        }
    }

    /// What happened in that span of time, the newest first. Files of other
    /// days are not opened.
    pub(crate) fn newest_first(
        &self,
        times: &RangeInclusive<i64>,
        now: UnixTime,
    ) -> NewestFirst<'_> {
        self.flush(now);
        NewestFirst {
            history: self,
            days: self.days_in(times),
            lines: None,
            times: times.clone(),
        }
    }

    /// Gives what happened in that span of time to `visit`, the oldest first,
    /// with the number of its line.
    pub(crate) fn oldest_first(
        &self,
        times: &RangeInclusive<i64>,
        mut visit: impl FnMut(Event, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for day in self.days_in(times) {
            // Gone meanwhile, or not to be read: what there is can still be told.
            let Ok(file) = File::open(self.file(day)) else {
                continue;
            };
            let mut file = BufReader::with_capacity(1 << 16, file.take(MAX_FILE));
            let (mut line, mut number) = (Vec::new(), 0);
            while let Ok(1..) = file.read_until(b'\n', &mut line) {
                number += 1;
                // What does not end with a line feed was cut by a crash.
                let whole = line.strip_suffix(b"\n");
                if let Some(event) = whole.and_then(|line| event_in(line, times)) {
                    visit(event, number)?;
                }
                line.clear();
            }
        }
        ControlFlow::Continue(())
    }

    /// The days of that span that there are files of, in order.
    fn days_in(&self, times: &RangeInclusive<i64>) -> Vec<i64> {
        let days = times.start().div_euclid(DAY)..=times.end().div_euclid(DAY);
        let mut all = self.days();
        all.retain(|day| days.contains(day));
        all
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, day: i64) -> PathBuf {
        let (year, month, day) = date(day);
        self.directory
            .join(format!("{year:04}-{month:02}-{day:02}.log"))
    }

    /// The days that there are files of, in order.
    fn days(&self) -> Vec<i64> {
        let files = std::fs::read_dir(&self.directory).into_iter().flatten();
        let mut days: Vec<i64> = files
            .filter_map(|file| day_of_file(file.ok()?.file_name().to_str()?))
            .collect();
        days.sort_unstable();
        days
    }

    fn remove_old(&self, now: UnixTime) {
        let first = day_of(now) - i64::from(self.days) + 1;
        for day in self.days().into_iter().filter(|day| *day < first) {
            let path = self.file(day);
            if let Err(error) = std::fs::remove_file(&path) {
                warn!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

/// What happened, from the newest to the oldest.
pub(crate) struct NewestFirst<'h> {
    history: &'h History,
    /// Days that are still to be looked at, in order.
    days: Vec<i64>,
    /// The file of the day that is looked at.
    lines: Option<Backwards>,
    times: RangeInclusive<i64>,
}

impl Iterator for NewestFirst<'_> {
    /// What happened, and the number of its line.
    type Item = (Event, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(lines) = &mut self.lines else {
                let path = self.history.file(self.days.pop()?);
                // Gone meanwhile, or not to be read: what there is can still be told.
                self.lines = Backwards::open(&path, MAX_FILE).ok();
                continue;
            };
            match lines.next() {
                Ok(Some((line, number))) => {
                    if let Some(event) = event_in(line, &self.times) {
                        return Some((event, number));
                    }
                }
                Ok(None) | Err(_) => self.lines = None,
            }
        }
    }
}

/// The event of a line, if it is of that span of time.
fn event_in(line: &[u8], times: &RangeInclusive<i64>) -> Option<Event> {
    let is_in = event::time_of(line).is_some_and(|time| times.contains(&time));
    is_in.then(|| Event::parse(line))?
}

fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        // A line that a crash has cut must not swallow the next one.
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    let room = usize::try_from(MAX_FILE.saturating_sub(size)).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return file.write_all(lines);
    }
    let whole = lines[..room].rfind_byte(b'\n').map_or(0, |at| at + 1);
    file.write_all(&lines[..whole])?;
    Err(io::Error::other(format!(
        "the file of a day has {MAX_FILE} bytes at most"
    )))
}

fn day_of(time: UnixTime) -> i64 {
    time.secs().div_euclid(DAY)
}

/// `2026-11-21 04:59:43 UTC`.
pub(crate) fn utc(time: UnixTime) -> String {
    let (year, month, day) = date(day_of(time));
    let second = time.secs().rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a number of days since 1970 (Hinnant's
/// `civil_from_days`: years begin in March, so that leap days come last).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The day of `2026-11-21.log`; `None` for any other file.
fn day_of_file(name: &str) -> Option<i64> {
    let (year, rest) = name.strip_suffix(".log")?.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let number = |text: &str| text.parse::<i64>().ok().filter(|n| (0..=9999).contains(n));
    let wanted = (number(year)?, number(month)?, number(day)?);
    // Near enough to look around it.
    let guess = (wanted.0 - 1970) * 365 + (wanted.0 - 1969) / 4 + (wanted.1 - 1) * 30 + wanted.2;
    (guess - 40..=guess + 40).find(|days| date(*days) == wanted)
}

#[cfg(test)]
mod tests {
    use bstr::BString;
    use objects::StateType;

    use super::*;
    use crate::owners::Owner;

    fn alert(secs: i64, service: Option<&str>, output: &str) -> Event {
        Event {
            time: UnixTime::from_secs(secs),
            owner: Owner {
                host_name: "h;1".into(),
                service_description: service.map(BString::from),
            },
            what: What::Alert(Alert {
                was: None,
                state: 2,
                state_type: StateType::Soft,
                attempt: 3,
                plugin_output: output.into(),
            }),
        }
    }

    fn output(event: &Event) -> &str {
        let What::Alert(alert) = &event.what else {
            panic!("no alert");
        };
        alert.plugin_output.to_str().unwrap()
    }

    /// The newest first; the other way round it must be the same.
    fn all(history: &History, times: RangeInclusive<i64>) -> Vec<Event> {
        let now = UnixTime::from_secs(20_000 * DAY);
        let newest: Vec<_> = history.newest_first(&times, now).collect();
        let mut oldest = Vec::new();
        let _ = history.oldest_first(&times, |event, number| {
            oldest.insert(0, (event, number));
            ControlFlow::Continue(())
        });
        assert_eq!(newest, oldest);
        newest.into_iter().map(|(event, _)| event).collect()
    }

    fn history(directory: &Path) -> History {
        let settings = Settings {
            directory: directory.to_owned(),
            days: 3,
        };
        History::new(&settings, "a")
    }

    #[test]
    fn days_have_dates() {
        for (day, name) in [
            (0, "1970-01-01.log"),
            (59, "1970-03-01.log"),
            (11_016, "2000-02-29.log"),
            (20_778, "2026-11-21.log"),
        ] {
            let (year, month, of_month) = date(day);
            assert_eq!(format!("{year:04}-{month:02}-{of_month:02}.log"), name);
        }
        for day in 0..60_000 {
            let (year, month, of_month) = date(day);
            let name = format!("{year:04}-{month:02}-{of_month:02}.log");
            assert_eq!(day_of_file(&name), Some(day), "{name}");
        }
        for name in ["2026-02-30.log", "x.log", "2026-11-21", "2026-11.log"] {
            assert_eq!(day_of_file(name), None, "{name}");
        }
    }

    #[test]
    fn the_newest_come_first_and_old_days_go() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        let today = 20_000 * DAY;
        let mut noted = Vec::new();
        for (offset, output) in [
            (-3 * DAY, "gone"),
            (-2 * DAY, "a"),
            (-1, "b"),
            (0, "c"),
            (5, "d"),
        ] {
            let alert = alert(today + offset, None, output);
            history.note(&alert);
            noted.insert(0, alert);
        }
        assert_eq!(all(&history, i64::MIN..=i64::MAX), noted[..4]);
        assert_eq!(all(&history, today..=today + 4), noted[1..2]);
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 3);
        // What is not asked for is not opened.
        let broken = history.file(19_998);
        std::fs::remove_file(&broken).unwrap();
        std::fs::create_dir(&broken).unwrap();
        assert_eq!(all(&history, today - 1..=i64::MAX), noted[..3]);
    }

    #[test]
    fn a_line_that_a_crash_has_cut_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        let today = 20_000 * DAY;
        history.note(&alert(today, None, "first"));
        history.flush(UnixTime::from_secs(today));
        let path = history.file(20_000);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&text[..], &text[..text.len() - 4]].concat()).unwrap();
        assert_eq!(all(&history, i64::MIN..=i64::MAX).len(), 1);
        history.note(&alert(today, None, "second"));
        let all = all(&history, i64::MIN..=i64::MAX);
        let outputs: Vec<&str> = all.iter().map(output).collect();
        assert_eq!(outputs, ["second", "fi", "first"]);
    }

    #[test]
    fn what_comes_too_fast_is_counted_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        let large = "x".repeat(MAX_WAITING / 2 + 1);
        for _ in 0..4 {
            history.note(&alert(20_000 * DAY, None, &large));
        }
        assert_eq!(history.waiting().dropped, 2);
        assert_eq!(all(&history, i64::MIN..=i64::MAX).len(), 2);
    }

    #[test]
    fn a_file_that_is_full_has_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        File::create(&path).unwrap().set_len(MAX_FILE - 8).unwrap();
        let error = append(&path, b"one\ntwo\nthree\n").unwrap_err();
        assert!(error.to_string().contains("bytes at most"), "{error}");
        let text = std::fs::read(&path).unwrap();
        assert!(text.ends_with(b"\0\none\n"));
    }
}
