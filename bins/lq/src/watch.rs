//! `--watch`: the same question again and again, until interrupted.
//!
//! Every time over a connection of its own. So a server that was started again
//! is found again, and one that bears few connections is left alone between.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use program::{Failure, Status};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::ask;
use crate::cli::When;
use crate::screen::{Screen, Size};
use crate::table::cut;
use crate::words;

/// Another screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

pub(crate) struct Watch<'a> {
    pub(crate) interval: Duration,
    pub(crate) color: When,
    /// Who is asked, for the first line.
    pub(crate) address: String,
    /// Whether answers are tables: those are kept apart by blank lines.
    pub(crate) tables: bool,
    /// Asks once and prints the answer.
    pub(crate) ask: &'a dyn Fn(&Screen, &mut dyn Write) -> Result<(), Failure>,
}

impl Watch<'_> {
    /// Ends only by a failure: a signal ends the program from within.
    pub(crate) fn run(self) -> Result<Status, Failure> {
        let redraws = Screen::now(self.color).redraws;
        end_on_signals(redraws)
            .map_err(|error| Failure::caused(Status::Failed, "cannot wait for signals", error))?;
        if redraws {
            show(ENTER.as_bytes())?;
        }
        let result = self.go_on();
        if redraws {
            // The failure is told on the usual screen.
            let _ = show(LEAVE.as_bytes());
        }
        result
    }

    fn go_on(&self) -> Result<Status, Failure> {
        let mut last: Option<Vec<u8>> = None;
        let mut rounds: u64 = 0;
        let mut told = String::new();
        loop {
            let screen = Screen::now(self.color);
            let mut answer = Vec::new();
            let trouble = match (self.ask)(&screen, &mut answer) {
                Ok(()) => {
                    last = Some(answer);
                    rounds += 1;
                    None
                }
                // A server that comes back is waited for; what it refuses from
                // the beginning it will refuse again.
                Err(failure) if last.is_none() && is_final(&failure) => return Err(failure),
                Err(failure) => Some(program::exit::chain(&failure)),
            };
            let answer = last.as_deref().unwrap_or_default();
            if let (true, Some(size)) = (screen.redraws, screen.size) {
                let first = self.first_line(trouble.as_deref());
                show(frame(&first, answer, size).as_bytes())?;
            } else if let Some(trouble) = trouble {
                if trouble != told {
                    eprintln!("lq: {trouble}");
                }
                told = trouble;
            } else {
                told.clear();
                if self.tables && rounds > 1 {
                    show(b"\n")?;
                }
                show(answer)?;
            }
            std::thread::sleep(self.interval);
        }
    }

    fn first_line(&self, trouble: Option<&str>) -> String {
        let mut line = format!(
            "{}   every {:?}   {}",
            words::moment(words::now()),
            self.interval,
            self.address
        );
        if let Some(trouble) = trouble {
            let _ = write!(line, "   {trouble}");
        }
        line
    }
}

fn is_final(failure: &Failure) -> bool {
    matches!(failure.status(), Status::Failed | Status::Usage)
}

/// A screen full, drawn over the one before without clearing it first, which
/// would flicker.
fn frame(first: &str, answer: &[u8], size: Size) -> String {
    let answer = String::from_utf8_lossy(answer);
    let mut lines: Vec<&str> = answer.lines().collect();
    // The first line, a blank one, and none after the last.
    let room = size.height.saturating_sub(2).max(2);
    let mut rest = String::new();
    if lines.len() > room {
        let _ = write!(rest, "… {} more", lines.len() - (room - 1));
        lines.truncate(room - 1);
        lines.push(&rest);
    }
    let mut out = format!("\x1b[H{}\x1b[K\n\x1b[K", cut(first, size.width));
    for line in lines {
        out.extend(["\n", line, "\x1b[K"]);
    }
    // In front of a terminal that was left raw, too.
    out = out.replace('\n', "\r\n");
    out.push_str("\x1b[J");
    out
}

/// One write, so that a signal finds the terminal between two.
fn show(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    ask::write(&mut out, bytes)?;
    ask::flush(&mut out)
}

fn end_on_signals(redraws: bool) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            if redraws {
                let _ = show(LEAVE.as_bytes());
            }
            std::process::exit(Status::Done.code().into());
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fills_the_screen_and_no_more() {
        let answer: String = (0..50).map(|n| format!("row {n}\n")).collect();
        let size = Size {
            width: 20,
            height: 10,
        };
        let drawn = frame("a very long first line", answer.as_bytes(), size);
        let lines: Vec<&str> = drawn.split("\r\n").collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "\x1b[Ha very long first l…\x1b[K");
        assert_eq!(lines[8], "row 6\x1b[K");
        assert_eq!(lines[9], "… 43 more\x1b[K\x1b[J");
    }

    #[test]
    fn what_fits_is_shown_whole() {
        let size = Size {
            width: 20,
            height: 4,
        };
        let drawn = frame("first", b"a\nb\n", size);
        assert_eq!(
            drawn,
            "\x1b[Hfirst\x1b[K\r\n\x1b[K\r\na\x1b[K\r\nb\x1b[K\x1b[J"
        );
    }
}
