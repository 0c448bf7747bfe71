//! Which processes are looked for, and how many there may be.

use std::str::FromStr;

use bstr::BString;
use objects::{Range, Thresholds};

/// What the description of such a service begins with.
pub(crate) const PREFIX: &str = "Process: ";

/// Processes that are looked for, under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessRule {
    /// What they are called in the description of their service.
    pub name: String,
    /// What stands in the field of each of them.
    pub pattern: String,
    /// Which field.
    pub field: Field,
    /// Whether the field must be the pattern, and not just have it in it.
    pub strict: bool,
    /// How many there may be.
    pub number: Thresholds,
    /// How much of a processor each of them may take, in percent.
    pub cpu: Thresholds,
    /// How much of the memory each of them may take, in percent.
    pub memory: Thresholds,
}

/// A member of a process in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field {
    /// The first of those below that is not empty.
    #[default]
    Auto,
    /// The command line.
    Cmdline,
    /// The program's path.
    Exec,
    /// The program's name.
    Name,
}

impl ProcessRule {
    /// Those that have `name` in their command line: exactly one is right.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let percent = Thresholds {
            warn: Range::up_to(50.0),
            crit: Range::up_to(60.0),
        };
        Self {
            pattern: name.clone(),
            name,
            field: Field::Auto,
            strict: false,
            number: Thresholds {
                warn: None,
                crit: Range::outside(1.0, 1.0),
            },
            cpu: percent,
            memory: percent,
        }
    }

    /// The description of its service.
    pub fn description(&self) -> BString {
        format!("{PREFIX}{}", self.name).into()
    }
}

impl FromStr for Field {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cmdline" => Ok(Self::Cmdline),
            "exec" => Ok(Self::Exec),
            "name" => Ok(Self::Name),
            _ => Err("it is auto, cmdline, exec or name"),
        }
    }
}
