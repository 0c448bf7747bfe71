//! Answers that show the rows themselves, in their own order or sorted.

use std::ops::ControlFlow;

use livestatus::OutputFormat;

use super::Refusal;
use super::answer::Output;
use super::plan::{OrderBy, Plan};
use crate::tables::{Row, View};

/// Writes what passes.
pub(super) fn write(
    plan: &Plan<'_>,
    view: &View<'_>,
    output: &mut Output<'_>,
) -> Result<(), Refusal> {
    if plan.order.is_empty() {
        in_own_order(plan, view, output)
    } else {
        sorted(plan, view, output)
    }
}

fn in_own_order(plan: &Plan<'_>, view: &View<'_>, output: &mut Output<'_>) -> Result<(), Refusal> {
    let count_all = plan.query.output_format == OutputFormat::WrappedJson;
    let mut skip = plan.query.offset;
    let mut left = plan.query.limit.unwrap_or(u64::MAX);
    let mut total = 0;
    let mut result = Ok(());
    if left == 0 && !count_all {
        return Ok(());
    }
    plan.scan(view, |row| {
        total += 1;
        if skip > 0 {
            skip -= 1;
        } else if left > 0 {
            left -= 1;
            let writer = &mut output.writer;
            writer.begin_row();
            for cell in &plan.columns {
                writer.cell(&cell.value(row));
            }
            writer.end_row();
            result = output.row_ended();
        }
        if left == 0 && !count_all || result.is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    output.writer.total(total);
    result
}

fn sorted(plan: &Plan<'_>, view: &View<'_>, output: &mut Output<'_>) -> Result<(), Refusal> {
    let limit = plan.query.limit.unwrap_or(u64::MAX);
    let mut first = First::new(limit.saturating_add(plan.query.offset));
    let mut total = 0;
    let mut key = Vec::new();
    let layout = output.writer.layout();
    plan.scan(view, |row| {
        push_order(plan, row, &mut key);
        first.offer(&key, total, |out| {
            for (index, cell) in plan.columns.iter().enumerate() {
                layout.push_cell(out, index, &cell.value(row));
            }
        });
        total += 1;
        if first.size() > plan.max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if first.size() > plan.max {
        return Err(Refusal::too_large(plan.max));
    }
    let skip = usize::try_from(plan.query.offset).unwrap_or(usize::MAX);
    first.put_in_order();
    for cells in first.rows().skip(skip) {
        output.writer.row(cells);
        output.row_ended()?;
    }
    output.writer.total(total);
    Ok(())
}

fn push_order(plan: &Plan<'_>, row: &Row<'_>, key: &mut Vec<u8>) {
    key.clear();
    for order in &plan.order {
        // Rows that are not grouped have no figures.
        if let OrderBy::Cell(cell) = order.by {
            order.push_key(key, &cell.value(row));
        }
    }
}

/// The first rows by their order, as many as are wanted.
struct First {
    wanted: usize,
    /// Those that may be among them.
    candidates: Vec<Candidate>,
    /// Their keys and cells.
    bytes: Vec<u8>,
    /// What has this key or a later one is not among them.
    end: Option<Vec<u8>>,
}

/// A row that may be among the first.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Where its key begins, and where its cells begin and end.
    key: usize,
    cells: usize,
    end: usize,
    /// Its place in the table, which decides between equals.
    place: u64,
}

impl First {
    fn new(wanted: u64) -> Self {
        Self {
            wanted: usize::try_from(wanted).unwrap_or(usize::MAX),
            candidates: Vec::new(),
            bytes: Vec::new(),
            end: None,
        }
    }

    /// Takes a row, of which `write` makes the cells, if it may be among the
    /// first. Places grow, so what comes later loses against its equals.
    fn offer(&mut self, key: &[u8], place: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if self.wanted == 0 || self.end.as_deref().is_some_and(|end| key >= end) {
            return;
        }
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(key);
        write(&mut self.bytes);
        self.candidates.push(Candidate {
            key: begin,
            cells: begin + key.len(),
            end: self.bytes.len(),
            place,
        });
        // So many that a round of leaving out costs little for each.
        if self.candidates.len() >= self.wanted.saturating_mul(2).saturating_add(1024) {
            self.leave_out_the_last();
        }
    }

    /// Keeps as many as are wanted.
    fn leave_out_the_last(&mut self) {
        let bytes = &self.bytes;
        let (_, last, _) = self
            .candidates
            .select_nth_unstable_by(self.wanted - 1, |a, b| a.compare(b, bytes));
        self.end = Some(last.key(bytes).to_vec());
        self.candidates.truncate(self.wanted);
        let mut kept = Vec::new();
        for candidate in &mut self.candidates {
            let begin = kept.len();
            kept.extend_from_slice(&bytes[candidate.key..candidate.end]);
            candidate.cells = candidate.cells - candidate.key + begin;
            (candidate.key, candidate.end) = (begin, kept.len());
        }
        self.bytes = kept;
    }

    fn put_in_order(&mut self) {
        let bytes = &self.bytes;
        self.candidates.sort_unstable_by(|a, b| a.compare(b, bytes));
        self.candidates.truncate(self.wanted);
    }

    /// The cells of each row.
    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.candidates
            .iter()
            .map(|candidate| &self.bytes[candidate.cells..candidate.end])
    }

    /// Bytes held.
    fn size(&self) -> usize {
        self.bytes.len() + self.candidates.len() * size_of::<Candidate>()
    }
}

impl Candidate {
    fn key<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.key..self.cells]
    }

    fn compare(&self, other: &Self, bytes: &[u8]) -> std::cmp::Ordering {
        let keys = self.key(bytes).cmp(other.key(bytes));
        keys.then(self.place.cmp(&other.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_are_those_of_the_whole_order() {
        // Keys with many equals, in an order without order.
        let keys: Vec<u8> = (0..5000_u32).map(|n| (n * 7919 % 231) as u8).collect();
        let mut all: Vec<(u8, usize)> = keys.iter().copied().zip(0..).collect();
        all.sort_unstable();
        for wanted in [0, 1, 2, 7, 500, 1999, 4999, 5000, 5001, u64::MAX] {
            let mut first = First::new(wanted);
            for (place, key) in keys.iter().enumerate() {
                first.offer(&[*key], place as u64, |out| {
                    out.extend_from_slice(format!("row {place}").as_bytes());
                });
                let most = usize::try_from(wanted).unwrap().saturating_mul(2);
                assert!(first.candidates.len() <= most.saturating_add(1024));
            }
            first.put_in_order();
            let got: Vec<String> = first
                .rows()
                .map(|cells| String::from_utf8(cells.to_vec()).unwrap())
                .collect();
            let count = usize::try_from(wanted).unwrap().min(all.len());
            let want: Vec<String> = all[..count]
                .iter()
                .map(|(_, place)| format!("row {place}"))
                .collect();
            assert_eq!(got, want, "{wanted}");
        }
    }
}
