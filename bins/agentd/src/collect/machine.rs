//! The machine that is looked at.

#[cfg(target_os = "linux")]
use super::linux::others::Others;
use super::root::Root;
use crate::config::Checks;

/// Its files, and those on it who can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) root: Root,
    #[cfg(target_os = "linux")]
    pub(crate) others: Others,
}

impl Machine {
    #[cfg_attr(
        not(target_os = "linux"),
        expect(unused_variables, reason = "nobody is asked")
    )]
    pub(crate) fn real(checks: &Checks) -> Self {
        let root = Root::real();
        Self {
            #[cfg(target_os = "linux")]
            others: Others::of(&root, checks),
            root,
        }
    }
}
