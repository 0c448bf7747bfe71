//! The result document of an agent, with openITCOCKPIT's keys.
//!
//! Reading is lenient: versions 1 to 3 of that agent differ, and so do the
//! systems it runs on. A key may be missing or `null`, numbers may be whole or
//! not, unknown keys are ignored, and a check that failed is `{"error": TEXT}`
//! in the place of its result. Members that nothing here uses are not kept.

use std::collections::BTreeMap;
use std::fmt;

use objects::UnixTime;
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod machine;
mod network;
mod packages;
mod running;
mod storage;

pub use machine::*;
pub use network::*;
pub use packages::*;
pub use running::*;
pub use storage::*;

/// Longest document that is read, in bytes.
pub const MAX_LEN: usize = 64 << 20;

/// The interval assumed when a document does not tell its own, in seconds.
pub const DEFAULT_CHECK_INTERVAL: u64 = 60;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Checked<T> {
    /// The agent does not run it.
    #[default]
    Absent,
    /// It failed, and why.
    Failed(String),
    /// What it found.
    Done(T),
}

/// Everything that one collection found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Document {
    /// The agent itself and its system.
    pub agent: Checked<Agent>,
    /// Processor time.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub cpu: Checked<Cpu>,
    /// Main memory.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub memory: Checked<Memory>,
    /// Swap space.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub swap: Checked<Swap>,
    /// Load averages; Windows has none.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub system_load: Checked<SystemLoad>,
    /// Mounted file systems.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub disks: Checked<Vec<Disk>>,
    /// Block devices by name.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub disk_io: Checked<BTreeMap<String, DiskIo>>,
    /// Links by interface.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub net_stats: Checked<BTreeMap<String, NetStats>>,
    /// Traffic by interface.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub net_io: Checked<BTreeMap<String, NetIo>>,
    /// Temperatures and batteries.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub sensors: Checked<Sensors>,
    /// Processes.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub processes: Checked<Vec<Process>>,
    /// Who is logged in.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub users: Checked<Vec<User>>,
    /// The clock.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub ntp: Checked<Ntp>,
    /// All loaded units of systemd.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub systemd_services: Checked<Vec<SystemdUnit>>,
    /// Jobs of launchd.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub launchd_services: Checked<Vec<LaunchdService>>,
    /// Services of Windows.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub windows_services: Checked<Vec<WindowsService>>,
    /// Events of Windows by log.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub windows_eventlog: Checked<BTreeMap<String, Vec<WindowsEvent>>>,
    /// Running containers.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub docker: Checked<Vec<Container>>,
    /// Virtual machines by their UUID.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub libvirt: Checked<BTreeMap<String, Guest>>,
    /// Results of configured plugins by name.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub customchecks: Checked<BTreeMap<String, CustomCheck>>,
    /// Names of the exporters that have answered.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub prometheus_exporters: Checked<Vec<String>>,
    /// Installed software, in short.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub packagemanager: Checked<PackageManager>,
    /// Ours: what went wrong in checks whose value must stay a list or an
    /// object of items, because openITCOCKPIT's server iterates over it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, String>,
}

/// Why something is not a result document.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It is longer than [`MAX_LEN`].
    TooLong,
    /// It is not JSON, or not an object.
    Json(serde_json::Error),
    /// It is one, but has no `agent`: what an agent answers before its first
    /// collection is done.
    Empty,
    /// The agent could not make its document, and says why.
    Agent(String),
}

impl Document {
    /// Reads a document.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > MAX_LEN {
            return Err(Error::TooLong);
        }
        let checks: BTreeMap<String, &RawValue> =
            serde_json::from_slice(text).map_err(Error::Json)?;
        let checks = Checks(checks);
        if let Some(error) = checks.error() {
            return Err(Error::Agent(error));
        }
        let document = Self {
            agent: checks.read("agent"),
            cpu: checks.read("cpu"),
            memory: checks.read("memory"),
            swap: checks.read("swap"),
            system_load: checks.read("system_load"),
            disks: checks.read_list("disks"),
            disk_io: checks.read("disk_io"),
            net_stats: checks.read("net_stats"),
            net_io: checks.read("net_io"),
            sensors: checks.read("sensors"),
            processes: checks.read_list("processes"),
            users: checks.read_list("users"),
            ntp: checks.read("ntp"),
            systemd_services: checks.read_list("systemd_services"),
            launchd_services: checks.read_list("launchd_services"),
            windows_services: checks.read_list("windows_services"),
            windows_eventlog: checks.read("windows_eventlog"),
            docker: checks.read_list("docker"),
            libvirt: checks.read("libvirt"),
            customchecks: checks.read("customchecks"),
            prometheus_exporters: checks.read_list("prometheus_exporters"),
            packagemanager: checks.read("packagemanager"),
            errors: match checks.read("errors") {
                Checked::Done(errors) => errors,
                _ => BTreeMap::new(),
            },
        };
        if document.agent.is_absent() {
            return Err(Error::Empty);
        }
        Ok(document)
    }

    /// The document as one line of JSON, without a line feed.
    pub fn print(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(Error::Json)
    }

    /// When it was made; `None` if it does not say.
    pub fn last_updated(&self) -> Option<UnixTime> {
        let secs = self.agent.done()?.last_updated_timestamp;
        let secs = i64::try_from(secs).ok().filter(|secs| *secs > 0)?;
        Some(UnixTime::from_secs(secs))
    }

    /// Whether this is the first document since the agent started, in which
    /// openITCOCKPIT's agent has zeros for every rate: those need two
    /// collections. It shows in the `m=+SECONDS` that Go appends to a time.
    pub fn is_first_collection(&self) -> bool {
        let running = self
            .agent
            .done()
            .and_then(|agent| agent.last_updated.split_once("m=+"))
            .and_then(|(_, secs)| secs.trim().parse::<f64>().ok());
        running.is_some_and(|secs| secs < self.check_interval() as f64)
    }

    /// Seconds between two collections.
    pub fn check_interval(&self) -> u64 {
        let told = self.agent.done().and_then(|agent| agent.check_interval);
        told.filter(|secs| *secs > 0)
            .unwrap_or(DEFAULT_CHECK_INTERVAL)
    }
}

impl<T> Checked<T> {
    /// What was found, if it was.
    pub fn done(&self) -> Option<&T> {
        match self {
            Self::Done(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the agent does not run this check.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Serialize> Serialize for Checked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Done(value) => value.serialize(serializer),
            Self::Absent => serializer.serialize_none(),
            Self::Failed(text) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("error", text)?;
                map.end()
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "document is longer than {} MiB", MAX_LEN >> 20),
            Self::Json(_) => f.write_str("document is not a JSON object"),
            Self::Empty => {
                f.write_str("document has no `agent`: no collection of the agent is done yet")
            }
            Self::Agent(text) => write!(f, "agent could not make its document: {text}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(source) => Some(source),
            _ => None,
        }
    }
}

/// The top level of a document: each check is read on its own, so that a wrong
/// one does not take the others with it.
struct Checks<'a>(BTreeMap<String, &'a RawValue>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorObject {
    error: String,
}

impl Checks<'_> {
    /// The error that stands in the place of the whole document.
    fn error(&self) -> Option<String> {
        serde_json::from_str(self.0.get("error")?.get()).ok()
    }

    /// A check whose value is an object.
    fn read<T: DeserializeOwned>(&self, key: &str) -> Checked<T> {
        self.read_value(key, b'{')
    }

    /// A check whose value is a list.
    fn read_list<T: DeserializeOwned>(&self, key: &str) -> Checked<T> {
        self.read_value(key, b'[')
    }

    /// serde would take a list for a structure, hence the look at the first byte.
    fn read_value<T: DeserializeOwned>(&self, key: &str, first: u8) -> Checked<T> {
        let Some(raw) = self.0.get(key).filter(|raw| raw.get() != "null") else {
            return Checked::Absent;
        };
        // A list of one text would be taken for it, too.
        let is_object = raw.get().starts_with('{');
        if let (true, Ok(ErrorObject { error })) = (is_object, serde_json::from_str(raw.get())) {
            return Checked::Failed(error);
        }
        let wrong = |cause: &dyn fmt::Display| {
            Checked::Failed(format!("`{key}` of the document is wrong: {cause}"))
        };
        if raw.get().as_bytes().first() != Some(&first) {
            return wrong(&"not an object or list as it should be");
        }
        serde_json::from_str(raw.get()).map_or_else(|cause| wrong(&cause), Checked::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = r#""agent": {"last_updated_timestamp": 1795000000, "check_interval": 30}"#;

    fn with(checks: &str) -> Document {
        Document::parse(format!("{{{AGENT}, {checks}}}").as_bytes()).unwrap()
    }

    #[test]
    fn numbers_may_be_whole_or_not() {
        let document = with(
            r#""cpu": {"cpu_total_percentage": 7, "cpu_percentage": [4, 9.5]},
               "memory": {"total": 8.0e9, "percent": 41, "used": 18446744073709551615, "free": -1},
               "net_stats": {"eth0": {"speed": -1, "mtu": 1500.0, "isup": true}}"#,
        );
        let cpu = document.cpu.done().unwrap();
        assert_eq!(cpu.cpu_total_percentage, Some(7.0));
        assert_eq!(cpu.cpu_percentage, [4.0, 9.5]);
        let memory = document.memory.done().unwrap();
        assert_eq!(memory.total, 8_000_000_000);
        assert_eq!((memory.used, memory.free), (u64::MAX, 0));
        let link = &document.net_stats.done().unwrap()["eth0"];
        assert_eq!((link.speed, link.mtu), (-1, 1500));
    }

    #[test]
    fn missing_null_and_unknown_members_are_no_mistakes() {
        let document = with(
            r#""cpu": {}, "memory": {"total": null, "percent": null, "novel": [1, {}]}, "swap": null,
               "disks": [{"disk": {"mountpoint": "C:", "opts": null}}, {"usage": null}],
               "qemu": {"x": 1}"#,
        );
        assert_eq!(document.cpu, Checked::Done(Cpu::default()));
        assert_eq!(document.memory, Checked::Done(Memory::default()));
        assert_eq!(document.swap, Checked::Absent);
        assert_eq!(document.disks.done().unwrap()[0].disk.mountpoint, "C:");
        assert_eq!(document.disks.done().unwrap()[1], Disk::default());
    }

    #[test]
    fn a_check_that_failed_leaves_the_others() {
        let document = with(
            r#""cpu": {"error": "no such device"}, "memory": [1], "net_io": {"error": {"name": "error"}}"#,
        );
        assert_eq!(document.cpu, Checked::Failed("no such device".into()));
        assert!(matches!(&document.memory, Checked::Failed(text) if text.contains("`memory`")));
        // An interface may well be called "error".
        assert_eq!(document.net_io.done().unwrap()["error"].name, "error");
    }

    #[test]
    fn both_spellings_of_the_package_manager_are_read() {
        for (text, enabled, security_updates) in [
            (r#"{"enabled": false, "pending": false}"#, false, 0),
            (r#"{"enabled": true, "pending": false}"#, true, 0),
            (
                r#"{"Enabled": true, "Pending": true, "LastUpdate": 9, "Stats": {"SecurityUpdates": 4, "LastError": null}}"#,
                true,
                4,
            ),
        ] {
            let document = with(&format!("\"packagemanager\": {text}"));
            let packages = document.packagemanager.done().unwrap();
            assert_eq!(packages.enabled, enabled, "{text}");
            assert_eq!(packages.stats.security_updates, security_updates, "{text}");
        }
    }

    #[test]
    fn what_is_no_document_says_why() {
        for (text, want) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{\"agent\": {}", "not a JSON object"),
            ("{\"agent\": {}} x", "not a JSON object"),
            ("{}", "has no `agent`"),
            ("{\"agent\": null}", "has no `agent`"),
            (
                "{\"error\": \"unsupported value: NaN\"}",
                "unsupported value: NaN",
            ),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        let deep = format!("{{{AGENT}, \"x\": {}}}", "[".repeat(100_000));
        assert!(Document::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let mut document = with(
            r#""cpu": {"cpu_total_percentage": 7.25}, "disks": [], "swap": {"error": "x"},
               "customchecks": {"a": {"rc": -1, "stdout": "é"}}, "errors": {"disks": "y"}"#,
        );
        let text = document.print().unwrap();
        assert_eq!(Document::parse(&text).unwrap(), document);
        // What is not finite must not make the document unreadable.
        document.cpu = Checked::Done(Cpu {
            cpu_total_percentage: Some(f64::NAN),
            ..Cpu::default()
        });
        let text = document.print().unwrap();
        let cpu = Document::parse(&text).unwrap().cpu;
        assert_eq!(cpu.done().unwrap().cpu_total_percentage, None);
    }
}
