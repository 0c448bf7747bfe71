//! What standard output is, and so how wide and how colourful a table may be.

use std::io::IsTerminal;

use crate::cli::When;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Columns and rows of the terminal; `None` where nothing is to be cut.
    pub(crate) size: Option<Size>,
    pub(crate) color: bool,
    /// Whether the cursor can be moved.
    pub(crate) redraws: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A terminal that does not tell its size.
const USUAL: Size = Size {
    width: 80,
    height: 24,
};

impl Screen {
    /// Standard output as it is now: a terminal may change its size.
    pub(crate) fn now(color: When) -> Self {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let smart = set("TERM") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let size = is_terminal.then(|| match rustix::termios::tcgetwinsize(&stdout) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
                width: size.ws_col.into(),
                height: size.ws_row.into(),
            },
            _ => USUAL,
        });
        Self {
            size,
            color: match color {
                When::Auto => is_terminal && smart && !set("NO_COLOR"),
                When::Always => true,
                When::Never => false,
            },
            redraws: is_terminal && smart,
        }
    }
}
