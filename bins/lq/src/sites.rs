//! `lq sites`: how old and how complete is what each site has sent.

use livestatus::json::Row;
use program::connection::Connection;

use crate::ask::{self, Error};
use crate::table::{Cell, Paint, Table, show};
use crate::words::{age, moment};

/// The columns that are asked for, in the order of [`Site::read`].
pub(crate) const COLUMNS: [&str; 12] = [
    "site",
    "state_time",
    "state_received_at",
    "state_age",
    "state_complete",
    "state_reason",
    "state_records",
    "state_unknown",
    "num_hosts",
    "num_services",
    "config_time",
    "config_error",
];

/// Asks, with a request for [`COLUMNS`].
pub(crate) fn table(connection: &mut Connection, request: &[u8]) -> Result<Table, Error> {
    let mut table = Table::new([
        "SITE",
        "STATE",
        "AGE",
        "LAST DUMP",
        "RECORDS",
        "UNKNOWN",
        "HOSTS",
        "SERVICES",
        "CONFIGURATION",
        "REASON",
    ]);
    ask::rows(connection, request, |row| {
        table.push(Site::read(row).cells());
        Ok(())
    })?;
    Ok(table)
}

struct Site {
    name: String,
    state_time: i64,
    state_received_at: i64,
    state_age: Option<f64>,
    state_complete: bool,
    state_reason: String,
    state_records: i64,
    state_unknown: i64,
    num_hosts: i64,
    num_services: i64,
    config_time: i64,
    config_error: String,
}

impl Site {
    fn read(row: &Row) -> Self {
        let text = |index| show(row.cell(index));
        let int = |index| row.cell(index).int().unwrap_or(0);
        Self {
            name: text(0),
            state_time: int(1),
            state_received_at: int(2),
            state_age: row.cell(3).float(),
            state_complete: int(4) != 0,
            state_reason: text(5),
            state_records: int(6),
            state_unknown: int(7),
            num_hosts: int(8),
            num_services: int(9),
            config_time: int(10),
            config_error: text(11),
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let (word, paint) = match (self.state_received_at, self.state_complete) {
            (0, _) => ("never", Paint::Pending),
            (_, true) => ("complete", Paint::Good),
            (_, false) => ("incomplete", Paint::Bad),
        };
        let reasons: Vec<&str> = [self.state_reason.as_str(), self.config_error.as_str()]
            .into_iter()
            .filter(|reason| !reason.is_empty())
            .collect();
        let plain = |text: String| Cell::plain(text);
        vec![
            plain(self.name.clone()),
            Cell::painted(word, paint),
            plain(self.state_age.map_or_else(|| "-".to_owned(), age)),
            plain(moment(self.state_time)),
            plain(self.state_records.to_string()),
            plain(self.state_unknown.to_string()),
            plain(self.num_hosts.to_string()),
            plain(self.num_services.to_string()),
            plain(moment(self.config_time)),
            plain(reasons.join("; ")),
        ]
    }
}
