//! The stack on which a request's filters are combined: `Filter`, `And`, `Or`
//! and `Negate`, and their like for `Stats` and `WaitCondition`.

use bstr::{BString, ByteSlice};

use crate::error::excerpt;
use crate::filter::{Filter, MAX_DEPTH, Operator};
use crate::words::{count, split_word};

/// Filters so far, each with its depth.
#[derive(Debug, Default)]
pub(crate) struct FilterStack(Vec<(Filter, usize)>);

/// How filters are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combination {
    And,
    Or,
}

impl FilterStack {
    /// `COLUMN OPERATOR VALUE`
    pub(crate) fn compare(&mut self, text: &[u8]) -> Result<(), String> {
        let (column, rest) = split_word(text);
        let (operator, value) = split_word(rest);
        if column.is_empty() {
            return Err("missing column name".to_owned());
        }
        if operator.is_empty() {
            let column = excerpt(column, 80);
            return Err(format!("missing operator after column '{column}'"));
        }
        let operator = Operator::parse(operator)
            .ok_or_else(|| format!("invalid operator '{}'", excerpt(operator, 40)))?;
        let filter = Filter::Compare {
            column: column.to_str_lossy().into_owned(),
            operator,
            value: BString::from(value),
        };
        self.push(filter, 1)
    }

    /// `And: N`, `Or: N`
    pub(crate) fn combine(&mut self, text: &[u8], how: Combination) -> Result<(), String> {
        let wanted = count(text)?;
        let present = self.0.len();
        let from = usize::try_from(wanted)
            .ok()
            .and_then(|wanted| present.checked_sub(wanted))
            .ok_or_else(|| {
                let are = if present == 1 { "is" } else { "are" };
                format!("cannot combine filters: expecting {wanted} filters, but only {present} {are} on stack")
            })?;
        if wanted == 1 {
            return Ok(());
        }
        let mut depth = 0;
        let mut parts = Vec::new();
        for (filter, below) in self.0.drain(from..) {
            match (how, filter) {
                // And of And is one And: long chains stay flat.
                (Combination::And, Filter::And(inner)) | (Combination::Or, Filter::Or(inner)) => {
                    parts.extend(inner);
                    depth = depth.max(below - 1);
                }
                (_, filter) => {
                    parts.push(filter);
                    depth = depth.max(below);
                }
            }
        }
        if parts.len() == 1 {
            // The others were empty.
            return self.push(parts.remove(0), depth);
        }
        let combined = match how {
            Combination::And => Filter::And(parts),
            Combination::Or => Filter::Or(parts),
        };
        self.push(combined, depth + 1)
    }

    /// `Negate:`
    pub(crate) fn negate(&mut self, text: &[u8]) -> Result<(), String> {
        if !text.is_empty() {
            return Err("superfluous argument(s)".to_owned());
        }
        match self.0.pop() {
            None => Err("cannot negate: no filter on stack".to_owned()),
            Some((Filter::Not(filter), depth)) => self.push(*filter, depth - 1),
            Some((filter, depth)) => self.push(Filter::Not(Box::new(filter)), depth + 1),
        }
    }

    /// What stands on the stack, which is empty then.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Filter> {
        self.0.drain(..).map(|(filter, _)| filter)
    }

    fn push(&mut self, filter: Filter, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("filters nested deeper than {MAX_DEPTH}"));
        }
        self.0.push((filter, depth));
        Ok(())
    }
}
