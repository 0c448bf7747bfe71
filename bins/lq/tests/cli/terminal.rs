//! A terminal of a given size, for lq to print on.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::server::{Server, answer};

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Terminal {
    pub(crate) child: Child,
    pieces: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Starts `command` on a terminal with that many columns and rows.
    pub(crate) fn start(command: &mut Command, columns: u16, rows: u16) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let child = command.stdout(slave).spawn().unwrap();
        // The command keeps the other end open; without it the reading ends.
        command.stdout(std::process::Stdio::null());
        let (tell, pieces) = channel();
        std::thread::spawn(move || {
            let mut master = File::from(master);
            let mut buffer = [0; 4096];
            // A terminal whose other end was closed is an error, and the end.
            while let Ok(count) = master.read(&mut buffer) {
                if count == 0 || tell.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            pieces,
            shown: String::new(),
        }
    }

    /// Waits until `text` has been shown; what came up to its end is not seen again.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.shown.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("no {text:?} in {:?}", self.shown),
            }
        }
    }

    /// Everything that is shown until the program has ended, and its status.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap().code().unwrap();
        while let Ok(piece) = self.pieces.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&piece));
        }
        (status, self.shown.replace("\r\n", "\n"))
    }
}

const BODY: &str =
    "[[\"name\",\"plugin_output\"],\n[\"db1\",\"PING CRITICAL - Packet loss = 100%\"]]\n";

#[test]
fn on_a_terminal_the_answer_is_a_table_that_fits() {
    let answer = answer(BODY);
    let server = Server::start(&[&answer]);
    let mut command = crate::server::lq(&server.socket());
    command.args(["GET hosts", "Columns: name plugin_output"]);
    let terminal = Terminal::start(command.env("NO_COLOR", "1"), 24, 10);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0);
    assert_eq!(shown, "name  plugin_output\ndb1   PING CRITICAL - P…\n");
}

#[test]
fn colours_depend_on_the_terminal_and_on_what_was_asked() {
    let colourful = "\x1b[1mname\x1b[0m  \x1b[1mplugin_output\x1b[0m\n";
    let plain = "name  plugin_output\n";
    for (arguments, variable, want) in [
        (&[][..], ("LC_X", ""), colourful),
        (&[], ("NO_COLOR", ""), colourful),
        (&[], ("NO_COLOR", "1"), plain),
        (&[], ("TERM", "dumb"), plain),
        (&["--color", "never"], ("LC_X", ""), plain),
        (&["--color", "always"], ("NO_COLOR", "1"), colourful),
    ] {
        let answer = answer(BODY);
        let server = Server::start(&[&answer]);
        let mut command = crate::server::lq(&server.socket());
        command.args(arguments).arg("GET hosts");
        command.env(variable.0, variable.1);
        let (_, shown) = Terminal::start(&mut command, 80, 10).end();
        assert!(
            shown.starts_with(want),
            "{arguments:?} {variable:?}: {shown:?}"
        );
    }
}
