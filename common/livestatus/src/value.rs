//! Values of cells and the types of columns.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bstr::{BStr, BString};

/// Type of a column, which decides how filters read their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Whole number.
    Int,
    /// Number with a fraction.
    Float,
    /// Text, in bytes.
    Text,
    /// List of names, or of lists whose leading texts are the name.
    List,
    /// Texts by name.
    Dict,
    /// Whole seconds of Unix time; its cells are [`Value::Int`].
    Time,
}

impl ColumnType {
    /// The word in the `columns` table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "string",
            Self::List => "list",
            Self::Dict => "dict",
            Self::Time => "time",
        }
    }
}

/// The value of one cell. Borrows from the object it belongs to, so that no
/// cell costs an allocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Nothing: an unknown column, or an unknown number.
    Null,
    /// Also booleans (0, 1) and times (seconds).
    Int(i64),
    /// Numbers that are not finite are printed as null.
    Float(f64),
    /// Bytes, as the plugin or the configuration has them.
    Text(Cow<'a, BStr>),
    /// Names, where an object keeps them as a list.
    Names(&'a [BString]),
    /// Any other list. An element that is a list itself has parts.
    List(Vec<Value<'a>>),
    /// Texts by name.
    Dict(&'a BTreeMap<BString, BString>),
}

impl<'a> Value<'a> {
    /// A text that is borrowed.
    pub fn text(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::Text(Cow::Borrowed(BStr::new(text.as_ref())))
    }

    /// A text made for this cell.
    pub fn owned(text: impl Into<BString>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Int(i64::from(yes))
    }
}

impl From<Option<f64>> for Value<'_> {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Self::Null, Self::Float)
    }
}
