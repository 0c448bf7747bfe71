//! What stands on the outside of a message.

/// Enough of a message to put it into a line again without reading its body. It
/// stands in the journal beside the body; what it means is up to who gave it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Label {
    /// What it is about, as a number: messages about the same have the same one.
    pub about: u32,
}
