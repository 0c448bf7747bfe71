//! Answers queries: which rows, which cells, in which form.

mod groups;
mod plan;
mod rows;
mod wait;

use std::sync::Arc;

use livestatus::{Query, RowWriter, Status, output};

use crate::store::Site;
use crate::tables::{Selection, Table, View};

use plan::Plan;

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

/// The whole answer of about `max` bytes at most, ready to be sent, and what was
/// wrong with the query if it tells that instead of rows.
pub(crate) fn answer(query: &Query, view: &View<'_>, max: usize) -> (Vec<u8>, Option<Refusal>) {
    match rows_of(query, view, max) {
        Ok(answer) => (answer, None),
        Err(refusal) => {
            let text = output::error(refusal.status, &refusal.message, query.fixed16);
            (text, Some(refusal))
        }
    }
}

/// About how many rows a query has to look at.
pub(crate) fn cost(query: &Query, sites: &[Arc<Site>]) -> usize {
    Table::named(&query.table).map_or(0, |table| {
        Selection::of(table, &query.filters).rows(table, sites)
    })
}

fn rows_of(query: &Query, view: &View<'_>, max: usize) -> Result<Vec<u8>, Refusal> {
    let plan = Plan::new(query, view, max)?;
    let mut writer = RowWriter::new(query.output_format, query.separators, query.fixed16);
    if query.column_headers {
        writer.names(plan.names().iter().map(String::as_str));
    }
    if query.stats.is_empty() {
        rows::write(&plan, view, &mut writer)?;
    } else {
        groups::write(&plan, view, &mut writer)?;
    }
    Ok(writer.finish())
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

    #[test]
    fn an_answer_that_is_too_large_is_given_up() {
        let counters = Counters::new(UnixTime::NEVER);
        let view = View {
            sites: &[],
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
            let (whole, refusal) = answer(&query, &view, MAX_ANSWER);
            assert!(whole.starts_with(b"200 ") && refusal.is_none());
            let (short, refusal) = answer(&query, &view, 1000);
            assert_eq!(refusal.unwrap().status, Status::TooLarge);
            assert_eq!(
                short,
                b"413          37\nthe answer is larger than 1000 bytes\n".as_slice()
            );
        }
    }
}
