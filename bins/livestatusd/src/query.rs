//! Answers queries: which rows, which cells, in which form.

mod answer;
mod groups;
mod plan;
mod rows;
mod wait;

use std::sync::Arc;

use livestatus::{Query, RowWriter, Status, output};
use tokio::sync::mpsc::Sender;

use crate::store::Site;
use crate::tables::{Selection, Table, View};

use answer::Output;
use plan::Plan;

pub(crate) use answer::{Answer, PIECES, Room};
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

/// How much of an answer is kept in memory until it is sent: few are larger, and
/// the page cache is a better place for those than the heap.
pub(crate) const IN_MEMORY: usize = 256 * 1024;

/// The answer, ready to be sent, and what was wrong with the query if it tells
/// that instead of rows. `client` takes the first pieces while the others are
/// computed, if the answer's length need not be told in front.
pub(crate) fn answer(
    query: &Query,
    view: &View<'_>,
    room: &Room,
    client: Option<Sender<Vec<u8>>>,
) -> (Answer, Option<Refusal>) {
    match rows_of(query, view, room, client) {
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

fn rows_of(
    query: &Query,
    view: &View<'_>,
    room: &Room,
    client: Option<Sender<Vec<u8>>>,
) -> Result<Answer, Refusal> {
    let plan = Plan::new(query, view, room.max)?;
    let mut writer = RowWriter::new(query.output_format, query.separators, query.fixed16);
    if query.column_headers {
        writer.names(plan.names().iter().map(String::as_str));
    }
    let mut output = Output::new(writer, room);
    if let Some(client) = client.filter(|_| !query.fixed16) {
        output.send_to(client);
    }
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
            let (whole, refusal) = answer(&query, &view, &room(MAX_ANSWER, IN_MEMORY), None);
            assert!(refusal.is_none());
            let whole = whole.read();
            assert!(whole.starts_with(b"200 "));
            let (short, refusal) = answer(&query, &view, &room(100, IN_MEMORY), None);
            assert_eq!(refusal.unwrap().status, Status::TooLarge);
            assert_eq!(
                short.read(),
                b"413          36\nthe answer is larger than 100 bytes\n".as_slice()
            );
            // And one that is kept in a file is the same as in memory.
            let (filed, refusal) = answer(&query, &view, &room(MAX_ANSWER, 20), None);
            assert!(refusal.is_none());
            assert!(matches!(filed, Answer::File { .. }));
            assert_eq!(filed.read(), whole);
            // So it is where no file can be made.
            let nowhere = Room {
                directory: "/nonexistent".into(),
                ..room(MAX_ANSWER, 20)
            };
            let (kept, refusal) = answer(&query, &view, &nowhere, None);
            assert!(refusal.is_none());
            assert!(matches!(kept, Answer::Bytes(_)));
            assert_eq!(kept.read(), whole);
        }
    }

    #[test]
    fn an_answer_without_a_length_leaves_in_pieces_while_the_client_keeps_up() {
        let counters = Counters::new(UnixTime::NEVER);
        let view = View {
            sites: &[],
            viewers: None,
            times: i64::MIN..=i64::MAX,
            counters: &counters,
            now: UnixTime::NEVER,
        };
        let mut query = Query::rows("columns", ["table", "name", "description"]);
        let room = room(MAX_ANSWER, 20);
        query.fixed16 = false;
        let whole = answer(&query, &view, &room, None).0.read();
        // As many pieces as there is room for, then the rest.
        for places in [1, 5, 10_000] {
            let (client, mut pieces) = tokio::sync::mpsc::channel(places);
            let (rest, refusal) = answer(&query, &view, &room, Some(client));
            assert!(refusal.is_none());
            let mut got = Vec::new();
            let mut count = 0;
            while let Ok(piece) = pieces.try_recv() {
                got.extend(piece);
                count += 1;
            }
            assert!(
                count == places || places == 10_000 && count > 100,
                "{count}"
            );
            got.extend(rest.read());
            assert!(got == whole, "with {places} places");
        }
        let (client, pieces) = tokio::sync::mpsc::channel(1);
        drop(pieces);
        let (_, refusal) = answer(&query, &view, &room, Some(client));
        assert_eq!(refusal.unwrap().message, "the client has gone");
        // What tells its length is complete before it leaves.
        query.fixed16 = true;
        let (client, mut pieces) = tokio::sync::mpsc::channel(1);
        let framed = answer(&query, &view, &room, Some(client)).0.read();
        assert!(pieces.try_recv().is_err());
        assert_eq!(framed[16..], whole);
    }
}
