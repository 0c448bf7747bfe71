//! Who is told about a host or service, and may see it.

use bstr::BString;

/// A contact as configured at its site. The name is the key it is stored under.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// Name for people.
    pub alias: BString,
    /// Address of mail.
    pub email: BString,
    /// Number of a pager or telephone.
    pub pager: BString,
    /// Contact groups it is a member of.
    pub contact_groups: Vec<BString>,
    /// Time period in which it is notified; empty means always.
    pub notification_period: BString,
}
