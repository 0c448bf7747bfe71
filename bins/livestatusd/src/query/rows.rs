//! Answers that show the rows themselves, in their own order or sorted.

use std::cmp::Ordering;
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
    bytes: Pieces,
    /// What has this key or a later one is not among them.
    end: Option<Vec<u8>>,
}

/// A row that may be among the first.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The piece it is in; where its key begins there, and where its cells begin
    /// and end.
    piece: usize,
    key: usize,
    cells: usize,
    end: usize,
    /// Its place in the table, which decides between equals.
    place: u64,
}

/// Bytes of many rows, in pieces: one block for all of them would be copied as
/// it grows, and leave a hole of its size behind.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Vec<u8>>,
    size: usize,
}

impl Pieces {
    /// Rows of usual length fill a piece nearly to the end.
    const SIZE: usize = 64 * 1024;
    const LAST_BEGIN: usize = Self::SIZE - 2 * 1024;

    /// Adds a row, of which `write` makes the cells.
    fn add(&mut self, key: &[u8], place: u64, write: impl FnOnce(&mut Vec<u8>)) -> Candidate {
        if self
            .pieces
            .last()
            .is_none_or(|last| last.len() > Self::LAST_BEGIN)
        {
            self.pieces.push(Vec::with_capacity(Self::SIZE));
        }
        let piece = self.pieces.len() - 1;
        let bytes = &mut self.pieces[piece];
        let begin = bytes.len();
        bytes.extend_from_slice(key);
        write(bytes);
        self.size += bytes.len() - begin;
        Candidate {
            piece,
            key: begin,
            cells: begin + key.len(),
            end: bytes.len(),
            place,
        }
    }

    fn key(&self, of: &Candidate) -> &[u8] {
        &self.pieces[of.piece][of.key..of.cells]
    }

    fn cells(&self, of: &Candidate) -> &[u8] {
        &self.pieces[of.piece][of.cells..of.end]
    }

    fn compare(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let keys = self.key(a).cmp(self.key(b));
        keys.then(a.place.cmp(&b.place))
    }
}

impl First {
    fn new(wanted: u64) -> Self {
        Self {
            wanted: usize::try_from(wanted).unwrap_or(usize::MAX),
            candidates: Vec::new(),
            bytes: Pieces::default(),
            end: None,
        }
    }

    /// Takes a row, of which `write` makes the cells, if it may be among the
    /// first. Places grow, so what comes later loses against its equals.
    fn offer(&mut self, key: &[u8], place: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if self.wanted == 0 || self.end.as_deref().is_some_and(|end| key >= end) {
            return;
        }
        self.candidates.push(self.bytes.add(key, place, write));
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
            .select_nth_unstable_by(self.wanted - 1, |a, b| bytes.compare(a, b));
        self.end = Some(bytes.key(last).to_vec());
        self.candidates.truncate(self.wanted);
        let mut kept = Pieces::default();
        for candidate in &mut self.candidates {
            let cells = bytes.cells(candidate);
            *candidate = kept.add(bytes.key(candidate), candidate.place, |out| {
                out.extend_from_slice(cells);
            });
        }
        self.bytes = kept;
    }

    fn put_in_order(&mut self) {
        let bytes = &self.bytes;
        self.candidates.sort_unstable_by(|a, b| bytes.compare(a, b));
        self.candidates.truncate(self.wanted);
    }

    /// The cells of each row.
    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let candidates = self.candidates.iter();
        candidates.map(|candidate| self.bytes.cells(candidate))
    }

    /// Bytes held.
    fn size(&self) -> usize {
        self.bytes.size + self.candidates.len() * size_of::<Candidate>()
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
                    // Some rows are longer than a piece.
                    let fill = " ".repeat(if place % 999 == 0 { 70_000 } else { place % 50 });
                    out.extend_from_slice(format!("row {place}{fill}").as_bytes());
                });
                let most = usize::try_from(wanted).unwrap().saturating_mul(2);
                assert!(first.candidates.len() <= most.saturating_add(1024));
            }
            first.put_in_order();
            let got: Vec<String> = first
                .rows()
                .map(|cells| str::from_utf8(cells).unwrap().trim_end().to_owned())
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
