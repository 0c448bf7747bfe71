//! `lq sites`: how old and how complete is what each site has sent.

use std::io::Write;

use bstr::ByteSlice;
use livestatus::Query;
use livestatus::json::Row;
use program::Failure;

use crate::ask;
use crate::connection::Connection;
use crate::table;

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

pub(crate) fn show(connection: &mut Connection, out: &mut dyn Write) -> Result<(), Failure> {
    let request = request();
    let mut table = table::new([
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
    ask::rows(connection, &request, |row| {
        table.add_row(Site::read(row).cells());
    })?;
    ask::write(out, table::print(&table).as_bytes())
}

fn request() -> Vec<u8> {
    let query = Query::rows("sites", COLUMNS);
    query.print().expect("these names have no blanks")
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
        let text = |index| row.cell(index).text().to_str_lossy().into_owned();
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

    fn cells(&self) -> [String; 10] {
        let word = match (self.state_received_at, self.state_complete) {
            (0, _) => "never",
            (_, true) => "complete",
            (_, false) => "incomplete",
        };
        let reasons: Vec<&str> = [self.state_reason.as_str(), self.config_error.as_str()]
            .into_iter()
            .filter(|reason| !reason.is_empty())
            .collect();
        [
            self.name.clone(),
            word.to_owned(),
            self.state_age.map_or_else(|| "-".to_owned(), age),
            moment(self.state_time),
            self.state_records.to_string(),
            self.state_unknown.to_string(),
            self.num_hosts.to_string(),
            self.num_services.to_string(),
            moment(self.config_time),
            reasons.join("; "),
        ]
    }
}

/// An age in the two largest units that say something.
fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

fn moment(seconds: i64) -> String {
    let never = || "never".to_owned();
    if seconds == 0 {
        return never();
    }
    let Ok(moment) = jiff::Timestamp::from_second(seconds) else {
        return never();
    };
    let local = moment.to_zoned(jiff::tz::TimeZone::system());
    local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, want) in [
            (-1.0, "0 s"),
            (12.9, "12 s"),
            (61.0, "1 min 1 s"),
            (3660.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(age(seconds), want);
        }
    }
}
