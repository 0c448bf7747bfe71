//! Answers with `Stats`: one pass over the table, in which every row is taken
//! into the figures of its group.

use std::collections::HashMap;
use std::ops::ControlFlow;

use livestatus::stats::Tally;
use livestatus::{Layout, order};

use super::Refusal;
use super::answer::Output;
use super::plan::{OrderBy, Plan};
use crate::tables::{Row, View};

/// Writes the figures of each group; without columns there is one, even of no rows.
pub(super) fn write(
    plan: &Plan<'_>,
    view: &View<'_>,
    output: &mut Output<'_>,
) -> Result<(), Refusal> {
    let mut groups = Groups::new(plan, output.writer.layout());
    if plan.columns.is_empty() {
        groups.add(Vec::new(), Group::default());
    }
    plan.scan(view, |row| {
        groups.take(row);
        if groups.size > plan.max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if groups.size > plan.max {
        return Err(Refusal::too_large(plan.max));
    }
    groups.write(output)
}

struct Groups<'p> {
    plan: &'p Plan<'p>,
    layout: Layout,
    /// The place of a group by the key of its columns.
    places: HashMap<Vec<u8>, usize>,
    groups: Vec<Group>,
    /// Those of all groups, one after the other.
    tallies: Vec<Tally>,
    /// Key and place of the row before, because rows of a group often stand together.
    last: (Vec<u8>, usize),
    key: Vec<u8>,
    /// About how many bytes are held.
    size: usize,
}

#[derive(Default)]
struct Group {
    /// Its columns as they are printed.
    cells: Vec<u8>,
    /// For each column that groups are ordered by, its key.
    order: Vec<Vec<u8>>,
}

impl<'p> Groups<'p> {
    fn new(plan: &'p Plan<'p>, layout: Layout) -> Self {
        Self {
            plan,
            layout,
            places: HashMap::new(),
            groups: Vec::new(),
            tallies: Vec::new(),
            last: (Vec::new(), 0),
            key: Vec::new(),
            size: 0,
        }
    }

    fn take(&mut self, row: &Row<'_>) {
        let place = if self.plan.columns.is_empty() {
            0
        } else {
            self.place(row)
        };
        let counters = &self.plan.counters;
        let from = place * counters.len();
        let tallies = &mut self.tallies[from..from + counters.len()];
        for (counter, tally) in counters.iter().zip(tallies) {
            counter.take(tally, &mut |cell| cell.value(row));
        }
    }

    /// The place of the group of a row, made if it is the first of it.
    fn place(&mut self, row: &Row<'_>) -> usize {
        self.key.clear();
        for cell in &self.plan.columns {
            order::push_key(&mut self.key, &cell.value(row));
        }
        if self.key == self.last.0 {
            return self.last.1;
        }
        let place = match self.places.get(&self.key) {
            Some(place) => *place,
            None => self.add(self.key.clone(), self.group(row)),
        };
        std::mem::swap(&mut self.key, &mut self.last.0);
        self.last.1 = place;
        place
    }

    fn group(&self, row: &Row<'_>) -> Group {
        let mut group = Group::default();
        for (index, cell) in self.plan.columns.iter().enumerate() {
            self.layout
                .push_cell(&mut group.cells, index, &cell.value(row));
        }
        for order in &self.plan.order {
            let mut key = Vec::new();
            if let OrderBy::Cell(cell) = order.by {
                order.push_key(&mut key, &cell.value(row));
            }
            group.order.push(key);
        }
        group
    }

    fn add(&mut self, key: Vec<u8>, group: Group) -> usize {
        let place = self.groups.len();
        let order: usize = group.order.iter().map(Vec::len).sum();
        self.size += key.len() + group.cells.len() + order + size_of::<Group>();
        self.size += self.plan.counters.len() * size_of::<Tally>();
        self.places.insert(key, place);
        self.groups.push(group);
        let counters = &self.plan.counters;
        self.tallies
            .extend(counters.iter().map(livestatus::stats::Counter::start));
        place
    }

    fn tallies_of(&self, place: usize) -> &[Tally] {
        let counters = self.plan.counters.len();
        &self.tallies[place * counters..(place + 1) * counters]
    }

    fn write(&self, output: &mut Output<'_>) -> Result<(), Refusal> {
        let query = self.plan.query;
        let skip = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let limit = query.limit.unwrap_or(u64::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut cells = Vec::new();
        for place in self.in_order().into_iter().skip(skip).take(limit) {
            cells.clear();
            cells.extend_from_slice(&self.groups[place].cells);
            for (index, tally) in self.tallies_of(place).iter().enumerate() {
                let index = self.plan.columns.len() + index;
                self.layout.push_cell(&mut cells, index, &tally.value());
            }
            output.writer.row(&cells);
            output.row_ended()?;
        }
        output.writer.total(self.groups.len() as u64);
        Ok(())
    }

    /// The places of the groups as they are to be shown: as they were found, or sorted.
    fn in_order(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.groups.len()).collect();
        if !self.plan.order.is_empty() {
            places.sort_by_cached_key(|place| self.order_key(*place));
        }
        places
    }

    fn order_key(&self, place: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for (order, key) in self.plan.order.iter().zip(&self.groups[place].order) {
            match order.by {
                OrderBy::Cell(_) => out.extend_from_slice(key),
                OrderBy::Stat(stat) => {
                    order.push_key(&mut out, &self.tallies_of(place)[stat].value());
                }
            }
        }
        out
    }
}
