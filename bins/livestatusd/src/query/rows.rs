//! Answers that show the rows themselves, in their own order or sorted.

use std::collections::BinaryHeap;
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
        if first.size > plan.max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if first.size > plan.max {
        return Err(Refusal::too_large(plan.max));
    }
    let skip = usize::try_from(plan.query.offset).unwrap_or(usize::MAX);
    for candidate in first.in_order().into_iter().skip(skip) {
        output.writer.row(&candidate.bytes[candidate.key..]);
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
    wanted: u64,
    /// The last of them on top.
    rows: BinaryHeap<Candidate>,
    /// Bytes held.
    size: usize,
    scratch: Vec<u8>,
}

/// A row that may be among the first.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    /// Its key, and behind it its cells.
    bytes: Vec<u8>,
    /// Length of the key.
    key: usize,
    /// Its place in the table, which decides between equals.
    place: u64,
}

impl First {
    fn new(wanted: u64) -> Self {
        Self {
            wanted,
            rows: BinaryHeap::new(),
            size: 0,
            scratch: Vec::new(),
        }
    }

    /// Takes a row, of which `write` makes the cells, if it is among the first so far.
    fn offer(&mut self, key: &[u8], place: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if (self.rows.len() as u64) < self.wanted {
            self.fill(key, write);
            self.size += self.scratch.len() + size_of::<Candidate>();
            self.rows.push(Candidate {
                // Not a byte longer than it is: there may be as many as rows.
                bytes: self.scratch.clone(),
                key: key.len(),
                place,
            });
            return;
        }
        // What comes later loses against its equals.
        let loses = |last: &Candidate| key >= &last.bytes[..last.key];
        if self.rows.peek().is_none_or(loses) {
            return;
        }
        self.fill(key, write);
        if let Some(mut last) = self.rows.peek_mut() {
            self.size = self.size - last.bytes.len() + self.scratch.len();
            last.bytes.clear();
            last.bytes.extend_from_slice(&self.scratch);
            (last.key, last.place) = (key.len(), place);
        }
    }

    fn fill(&mut self, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        self.scratch.extend_from_slice(key);
        write(&mut self.scratch);
    }

    fn in_order(self) -> Vec<Candidate> {
        let mut rows = self.rows.into_vec();
        rows.sort_unstable();
        rows
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (key, other_key) = (&self.bytes[..self.key], &other.bytes[..other.key]);
        key.cmp(other_key).then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_are_those_of_the_whole_order() {
        // Keys with many equals, in an order without order.
        let keys: Vec<u8> = (0..200_u32).map(|n| (n * 7919 % 23) as u8).collect();
        let mut all: Vec<(u8, u64)> = keys.iter().copied().zip(0..).collect();
        all.sort_unstable();
        for wanted in [0, 1, 2, 7, 100, 199, 200, 201, u64::MAX] {
            let mut first = First::new(wanted);
            for (place, key) in keys.iter().enumerate() {
                first.offer(&[*key], place as u64, |out| {
                    out.extend_from_slice(format!("row {place}").as_bytes());
                });
            }
            let got: Vec<(u8, u64)> = first
                .in_order()
                .iter()
                .map(|row| {
                    assert_eq!(row.bytes[1..], *format!("row {}", row.place).as_bytes());
                    (row.bytes[0], row.place)
                })
                .collect();
            let count = usize::try_from(wanted).unwrap().min(all.len());
            assert_eq!(got, all[..count], "{wanted}");
        }
    }
}
