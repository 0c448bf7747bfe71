//! Which server answers, and what a client must spare it.

/// The known servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Checkmk, with either core.
    Checkmk,
    /// Nagios with a Livestatus module.
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
        let _ = (program_version, livestatus_version);
        todo!()
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
