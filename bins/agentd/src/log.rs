//! Log lines in the form of the original, on standard error and in a file.
//!
//! `time="2026-03-01T08:15:42+01:00" level=warning msg="what happened"`
//!
//! The file is rotated with the first line of a new local day: `agent.log` to
//! `agent.log.1`, that one to `agent.log.2`, and so on.

use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use program::file::with_mode;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What is logged, and where.
pub(crate) struct Settings {
    pub(crate) level: Level,
    /// None for standard error alone.
    pub(crate) file: Option<PathBuf>,
    /// How many rotated files are kept; with 0 nothing is rotated.
    pub(crate) keep: u32,
    /// Whether to try if files can be made beside the log.
    pub(crate) try_rotation: bool,
}

/// The log file, to be opened anew when somebody has moved it.
#[derive(Clone)]
pub(crate) struct LogFile(Option<Arc<Mutex<Rotating>>>);

/// Opens the file and logs from now on.
pub(crate) fn start(settings: Settings) -> io::Result<LogFile> {
    let file = match settings.file {
        None => None,
        Some(path) => {
            let file = Rotating::open(path, settings.keep)?;
            if settings.keep > 0 && settings.try_rotation {
                file.try_rotation()?;
            }
            Some(Arc::new(Mutex::new(file)))
        }
    };
    let lines = Lines {
        level: settings.level,
        file: file.clone(),
    };
    // A second start in one process (tests) keeps the first.
    let _ = tracing::subscriber::set_global_default(lines);
    Ok(LogFile(file))
}

impl LogFile {
    pub(crate) fn reopen(&self) {
        let Some(file) = &self.0 else {
            return;
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.reopen() {
            eprintln!("agentd: {}: {error}", file.path.display());
        }
    }
}

struct Lines {
    level: Level,
    file: Option<Arc<Mutex<Rotating>>>,
}

impl Subscriber for Lines {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        *about.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let now = Zoned::now();
        let line = line(&now, *event.metadata().level(), &text);
        // There is nobody to tell of it if this fails.
        let _ = io::stderr().write_all(line.as_bytes());
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write(now.date(), line.as_bytes());
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={}", quoted(&format!("{value:?}"))),
        };
    }
}

fn line(now: &Zoned, level: Level, text: &Text) -> String {
    let level = match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    let offset = match now.offset().is_zero() {
        true => "Z".to_owned(),
        false => now.strftime("%:z").to_string(),
    };
    let time = now.strftime("%Y-%m-%dT%H:%M:%S");
    let message = quoted(&text.message);
    format!(
        "time=\"{time}{offset}\" level={level} msg={message}{}\n",
        text.fields
    )
}

/// In quotes if there is anything in it that needs them.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

struct Rotating {
    path: PathBuf,
    file: File,
    /// Of the last line.
    day: Date,
    keep: u32,
}

impl Rotating {
    fn open(path: PathBuf, keep: u32) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            let mut builder = DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
            builder.recursive(true).create(directory)?;
        }
        let file = append_to(&path)?;
        let about = file.metadata()?;
        let last = match about.len() {
            0 => SystemTime::now(),
            _ => about.modified()?,
        };
        Ok(Self {
            day: day_of(last)?,
            path,
            file,
            keep,
        })
    }

    fn try_rotation(&self) -> io::Result<()> {
        let path = self.numbered("test");
        File::create(&path)?;
        fs::remove_file(path)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = append_to(&self.path)?;
        Ok(())
    }

    fn write(&mut self, today: Date, line: &[u8]) {
        // Whatever comes of it, there is no second attempt on one day.
        if std::mem::replace(&mut self.day, today) != today
            && self.keep > 0
            && let Err(error) = self.rotate()
        {
            eprintln!("agentd: cannot rotate {}: {error}", self.path.display());
        }
        let _ = self.file.write_all(line);
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            let from = self.numbered(&number.to_string());
            if from.exists() {
                fs::rename(from, self.numbered(&(number + 1).to_string()))?;
            }
        }
        fs::rename(&self.path, self.numbered("1"))?;
        self.reopen()
    }

    fn numbered(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    with_mode(&mut options, 0o600).open(path)
}

fn day_of(time: SystemTime) -> io::Result<Date> {
    let time = jiff::Timestamp::try_from(time).map_err(io::Error::other)?;
    Ok(time.to_zoned(TimeZone::system()).date())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn lines_look_as_those_of_the_original() {
        let at = |text: &str| text.parse::<Zoned>().unwrap();
        for (time, level, message, want) in [
            (
                "2026-03-01T08:15:42[UTC]",
                Level::INFO,
                "Running  14 checks",
                "time=\"2026-03-01T08:15:42Z\" level=info msg=\"Running  14 checks\"\n",
            ),
            (
                "2026-07-01T08:15:42[Europe/Berlin]",
                Level::WARN,
                "done",
                "time=\"2026-07-01T08:15:42+02:00\" level=warning msg=done\n",
            ),
            (
                "2026-03-01T08:15:42[UTC]",
                Level::ERROR,
                "a \"b\"\nc \\ ö\u{1b}",
                "time=\"2026-03-01T08:15:42Z\" level=error msg=\"a \\\"b\\\"\\nc \\\\ ö\\u{1b}\"\n",
            ),
        ] {
            let text = Text {
                message: message.to_owned(),
                fields: String::new(),
            };
            assert_eq!(line(&at(time), level, &text), want);
        }
    }

    #[test]
    fn each_new_day_has_a_new_file_and_the_oldest_go() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("deep/agent.log");
        let mut log = Rotating::open(path.clone(), 2).unwrap();
        log.try_rotation().unwrap();
        let mut day = log.day;
        for text in ["a", "a", "b", "c", "d"] {
            if text != "a" {
                day = day.tomorrow().unwrap();
            }
            log.write(day, text.as_bytes());
        }
        let read = |name: &str| fs::read_to_string(path.with_file_name(name)).unwrap();
        assert_eq!(read("agent.log"), "d");
        assert_eq!(read("agent.log.1"), "c");
        assert_eq!(read("agent.log.2"), "b");
        assert_eq!(fs::read_dir(dir.path().join("deep")).unwrap().count(), 3);
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_rotation_a_day_changes_nothing_and_a_moved_file_is_made_anew() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("agent.log");
        let mut log = Rotating::open(path.clone(), 0).unwrap();
        let day = log.day;
        log.write(day, b"a");
        log.write(day.tomorrow().unwrap(), b"b");
        assert_eq!(fs::read(&path).unwrap(), b"ab");
        fs::rename(&path, dir.path().join("moved")).unwrap();
        log.reopen().unwrap();
        log.write(day, b"c");
        assert_eq!(fs::read(&path).unwrap(), b"c");
    }
}
