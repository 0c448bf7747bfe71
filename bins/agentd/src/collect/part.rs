//! What one collector finds, and its place in the document.

use std::collections::BTreeMap;

use agent::document::{
    Agent, Container, Cpu, Disk, DiskIo, Guest, Memory, NetIo, NetStats, Ntp, Process, Sensors,
    Swap, SystemLoad, SystemdUnit, User,
};
use agent::{Checked, Document};

/// Finds out one part of the document.
pub(crate) trait Collector: Send {
    /// Looks at the machine. An error takes the place of the part.
    fn collect(&mut self) -> Result<Finding, String>;
}

/// A part, and what could not be found out of it.
pub(crate) struct Finding {
    pub(crate) part: Part,
    pub(crate) note: Option<String>,
}

impl From<Part> for Finding {
    fn from(part: Part) -> Self {
        Self { part, note: None }
    }
}

/// Defines the keys of the document's parts, what is found for each, and how it
/// gets in there.
macro_rules! parts {
    ($($name:ident($value:ty), $field:ident, $on_failure:ident;)*) => {
        /// A key of the document.
        #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "not all is told there"))]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Key { $($name),* }

        /// What was found for a key.
        #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "not all is told there"))]
        #[expect(clippy::large_enum_variant, reason = "there is one of each, for a moment")]
        pub(crate) enum Part { $($name($value)),* }

        impl Key {
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($field)),* }
            }

            /// Puts an error in the place of the part.
            pub(crate) fn fail(self, document: &mut Document, why: String) {
                match self { $(Self::$name => {
                    document.$field = $on_failure(self.name(), &mut document.errors, why);
                })* }
            }

            /// Puts what was found earlier in the place of the part.
            pub(crate) fn keep(self, document: &mut Document, earlier: &Document) {
                match self { $(Self::$name => document.$field = earlier.$field.clone()),* }
            }

            /// Whether there is something that could be kept.
            pub(crate) fn is_done(self, document: &Document) -> bool {
                match self { $(Self::$name => document.$field.done().is_some()),* }
            }
        }

        impl Part {
            pub(crate) fn put(self, document: &mut Document) {
                match self { $(Self::$name(value) => document.$field = Checked::Done(value)),* }
            }
        }
    };
}

parts! {
    Agent(Agent), agent, object;
    Cpu(Cpu), cpu, object;
    Memory(Memory), memory, object;
    Swap(Swap), swap, object;
    SystemLoad(SystemLoad), system_load, object;
    Disks(Vec<Disk>), disks, items;
    DiskIo(BTreeMap<String, DiskIo>), disk_io, items;
    NetStats(BTreeMap<String, NetStats>), net_stats, items;
    NetIo(BTreeMap<String, NetIo>), net_io, items;
    Sensors(Sensors), sensors, object;
    Processes(Vec<Process>), processes, items;
    Users(Vec<User>), users, items;
    Ntp(Ntp), ntp, object;
    SystemdServices(Vec<SystemdUnit>), systemd_services, items;
    Docker(Vec<Container>), docker, items;
    Libvirt(BTreeMap<String, Guest>), libvirt, object;
}

/// The error in the place of the value, as the original has it.
fn object<T>(_: &str, _: &mut BTreeMap<String, String>, why: String) -> Checked<T> {
    Checked::Failed(why)
}

/// openITCOCKPIT's server goes through these without looking: they stay what
/// they are, without items, and the reason stands beside.
fn items<T: Default>(key: &str, errors: &mut BTreeMap<String, String>, why: String) -> Checked<T> {
    errors.insert(key.to_owned(), why);
    Checked::Done(T::default())
}
