//! Filters: their tree as a request builds it, and matchers made of it for the
//! columns of one table.

use bstr::BString;

use crate::error::Error;
use crate::value::{ColumnType, Value};

/// Deepest tree of filters that is taken.
pub const MAX_DEPTH: usize = 64;

/// How a column is compared, without negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `~`
    Matches,
    /// `=~`
    EqualNoCase,
    /// `~~`
    MatchesNoCase,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `<=`
    LessOrEqual,
    /// `>=`
    GreaterOrEqual,
}

/// An operator of a filter: a comparison, perhaps negated by a leading `!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// What is compared.
    pub comparison: Comparison,
    /// Whether the result is turned around.
    pub negated: bool,
}

/// A condition on rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// One column against one value.
    Compare {
        /// Name of the column.
        column: String,
        /// The operator.
        operator: Operator,
        /// The value as text.
        value: BString,
    },
    /// All of these; none is true.
    And(Vec<Filter>),
    /// One of these; none is false.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
}

impl Filter {
    /// Makes a matcher. `resolve` finds the table's column of a name.
    pub fn compile<C>(
        &self,
        resolve: &mut dyn FnMut(&str) -> Option<(C, ColumnType)>,
    ) -> Result<Matcher<C>, Error> {
        let _ = resolve;
        todo!()
    }
}

/// A filter that is ready to be applied to rows; `C` is how the table names its
/// columns.
#[derive(Debug)]
pub struct Matcher<C> {
    column: C,
}

impl<C> Matcher<C> {
    /// Whether a row passes. `cell` gives the row's value of a column.
    pub fn matches<'a>(&self, cell: &mut dyn FnMut(&C) -> Value<'a>) -> bool {
        let _ = cell(&self.column);
        todo!()
    }
}
