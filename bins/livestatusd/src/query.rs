//! Answers queries: which rows, which cells, in which form.

mod answer;
mod groups;
mod plan;
mod rows;
mod wait;

use std::sync::Arc;

use livestatus::{Query, RowWriter, Status, output};

use crate::store::Site;
use crate::tables::{Selection, Table, View};

use answer::Output;
use plan::Plan;

pub(crate) use answer::{Answer, Room};
pub(crate) use wait::Wait;

/// Largest answer in bytes. Columns may be repeated, so a small query could ask
/// for more than there is memory.
pub(crate) const MAX_ANSWER: usize = 1 << 30;

/// Why a query gets no rows.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: Status,
    /// The text for the client.
    pub(crate) message: String,
}

/// How much of an answer is kept in memory until it is sent.
pub(crate) const IN_MEMORY: usize = 2 << 20;

/// The whole answer, ready to be sent, and what was wrong with the query if it
/// tells that instead of rows.
pub(crate) fn answer(query: &Query, view: &View<'_>, room: &Room) -> (Answer, Option<Refusal>) {
    match rows_of(query, view, room) {
        Ok(answer) => (answer, None),
        Err(refusal) => {
            let text = output::error(refusal.status, &refusal.message, query.fixed16);
            (Answer::Bytes(text), Some(refusal))
        }
    }
}

/// About how many rows a query has to look at.
pub(crate) fn cost(query: &Query, sites: &[Arc<Site>]) -> usize {
    Table::named(&query.table).map_or(0, |table| {
        Selection::of(table, &query.filters).rows(table, sites)
    })
}

fn rows_of(query: &Query, view: &View<'_>, room: &Room) -> Result<Answer, Refusal> {
    let plan = Plan::new(query, view, room.max)?;
    let mut writer = RowWriter::new(query.output_format, query.separators, query.fixed16);
    if query.column_headers {
        writer.names(plan.names().iter().map(String::as_str));
    }
    let mut output = Output::new(writer, room);
    if query.stats.is_empty() {
        rows::write(&plan, view, &mut output)?;
    } else {
        groups::write(&plan, view, &mut output)?;
    }
    output.finish()
}

impl Refusal {
    fn bad_header(header: &str, what: &str) -> Self {
        Self {
            status: Status::BadRequest,
            message: format!("while processing header '{header}': {what}"),
        }
    }

    fn too_large(max: usize) -> Self {
        Self {
            status: Status::TooLarge,
            message: format!("the answer is larger than {max} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use livestatus::filter::Comparison;
    use livestatus::query::SortKey;
    use livestatus::{Filter, Stat};
    use objects::UnixTime;

    use super::*;
    use crate::counters::Counters;

    fn room(max: usize, in_memory: usize) -> Room {
        Room {
            max,
            in_memory,
            directory: std::env::temp_dir(),
        }
    }

    #[test]
    fn an_answer_takes_the_room_it_has_and_no_more() {
        let counters = Counters::new(UnixTime::NEVER);
        let view = View {
            sites: &[],
            viewers: None,
            times: i64::MIN..=i64::MAX,
            counters: &counters,
            now: UnixTime::NEVER,
        };
        let plain = Query::rows("columns", ["table", "name"]);
        let mut sorted = plain.clone();
        sorted.sort = vec![SortKey {
            column: "type".into(),
            entry: None,
            descending: true,
        }];
        let mut grouped = plain.clone();
        grouped.stats = vec![Stat::Count(Filter::compare(
            "type",
            Comparison::Equal,
            "int",
        ))];
        for query in [plain, sorted, grouped] {
            let (whole, refusal) = answer(&query, &view, &room(MAX_ANSWER, IN_MEMORY));
            assert!(refusal.is_none());
            let whole = whole.read();
            assert!(whole.starts_with(b"200 "));
            let (short, refusal) = answer(&query, &view, &room(100, IN_MEMORY));
            assert_eq!(refusal.unwrap().status, Status::TooLarge);
            assert_eq!(
                short.read(),
                b"413          36\nthe answer is larger than 100 bytes\n".as_slice()
            );
            // And one that is kept in a file is the same as in memory.
            let (filed, refusal) = answer(&query, &view, &room(MAX_ANSWER, 20));
            assert!(refusal.is_none());
            assert!(matches!(filed, Answer::File { .. }));
            assert_eq!(filed.read(), whole);
            // So it is where no file can be made.
            let nowhere = Room {
                directory: "/nonexistent".into(),
                ..room(MAX_ANSWER, 20)
            };
            let (kept, refusal) = answer(&query, &view, &nowhere);
            assert!(refusal.is_none());
            assert!(matches!(kept, Answer::Bytes(_)));
            assert_eq!(kept.read(), whole);
        }
    }
}
