//! Which server answers, and what a client must spare it.

use bstr::ByteSlice;

/// What [`Livestatusd`](Server::Livestatusd) puts before its release in `program_version`.
pub const LIVESTATUSD: &str = "sitewire-livestatusd ";

/// The known servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Checkmk, with either core.
    Checkmk,
    /// Nagios, or anything else that speaks Livestatus.
    Nagios,
    /// Naemon.
    Naemon,
    /// Icinga 2.
    Icinga2,
    /// Ours.
    Livestatusd,
}

impl Server {
    /// Tells it from the columns `program_version` and `livestatus_version` of
    /// the status table.
    pub fn detect(program_version: &[u8], livestatus_version: &[u8]) -> Self {
        if program_version.starts_with(LIVESTATUSD.as_bytes()) {
            Self::Livestatusd
        } else if program_version.contains_str("icinga2") || livestatus_version.starts_with(b"r2.")
        {
            Self::Icinga2
        } else if livestatus_version.ends_with(b"-naemon") {
            Self::Naemon
        } else if program_version.starts_with(b"Check_MK") || livestatus_version.starts_with(b"2") {
            // With the Nagios core only the release tells: 2.3.0p1, 2026.01.15.
            Self::Checkmk
        } else {
            Self::Nagios
        }
    }

    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkmk => "Checkmk",
            Self::Nagios => "Nagios",
            Self::Naemon => "Naemon",
            Self::Icinga2 => "Icinga 2",
            Self::Livestatusd => "livestatusd",
        }
    }

    /// Whether it has the `columns` table. Icinga 2 has not, and fails a query
    /// for a column it does not know.
    pub fn has_columns_table(self) -> bool {
        self != Self::Icinga2
    }

    /// Whether connections may be kept open. Icinga 2 serves few at a time and
    /// stops checking while they are held.
    pub fn may_keep_alive(self) -> bool {
        self != Self::Icinga2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart() {
        for (program, livestatus, want) in [
            ("1.5.2", "1.5.1-naemon", Server::Naemon),
            ("r2.13.6-1-icinga2", "r2.13.6-1", Server::Icinga2),
            ("r2.13.6-1", "r2.13.6-1", Server::Icinga2),
            ("Check_MK 2.3.0p1", "2.3.0p1", Server::Checkmk),
            ("3.5.1", "2.3.0p1", Server::Checkmk),
            ("4.4.6", "1.2.8", Server::Nagios),
            (
                "sitewire-livestatusd 0.1.0",
                "1.5.0-sitewire",
                Server::Livestatusd,
            ),
            ("", "", Server::Nagios),
        ] {
            let server = Server::detect(program.as_bytes(), livestatus.as_bytes());
            assert_eq!(server, want, "{program} {livestatus}");
        }
    }
}
