//! The agent and the system it runs on.

use std::time::Duration;

use agent::document::Agent;

use super::origin;
use super::part::{Collector, Finding, Part};
use super::root::{Root, parse, text, words};
use super::uname;

/// Names of distributions by the family they belong to.
const FAMILIES: [(&str, &[&str]); 4] = [
    ("debian", &["debian", "ubuntu", "linuxmint", "raspbian"]),
    (
        "rhel",
        &["rhel", "centos", "almalinux", "rocky", "ol", "amzn"],
    ),
    ("suse", &["suse", "opensuse", "sles", "sled"]),
    ("arch", &["arch", "manjaro"]),
];

/// What the document says about its origin.
pub(crate) struct Origin {
    root: Root,
    /// Decides when a reader calls the document stale.
    interval: Duration,
    system: System,
}

/// What is known of the operating system, and does not change while it runs.
#[derive(Debug, Clone)]
pub(crate) struct System {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) family: String,
}

impl Origin {
    pub(crate) fn new(root: Root, interval: Duration) -> Self {
        Self {
            system: System::read(&root),
            root,
            interval,
        }
    }
}

impl Collector for Origin {
    fn collect(&mut self) -> Result<Finding, String> {
        let system = self.system.clone();
        let agent = Agent {
            system: system.id,
            system_uptime: Some(uptime(&self.root)),
            kernel_version: uname().release,
            mac_version: system.version,
            family: system.family,
            ..origin::ours(self.interval)
        };
        Ok(Part::Agent(agent).into())
    }
}

/// Seconds since the machine has started.
pub(crate) fn uptime(root: &Root) -> u64 {
    let mut buffer = Vec::new();
    let uptime = root.read("proc/uptime", &mut buffer).unwrap_or(b"");
    let uptime = words(uptime).next().and_then(parse::<f64>);
    uptime.unwrap_or(0.0) as u64
}

impl System {
    pub(crate) fn read(root: &Root) -> Self {
        let release = OsRelease::read(root);
        Self {
            version: release.version(root),
            family: release.family(),
            id: release.id,
        }
    }
}

/// What `os-release` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct OsRelease {
    id: String,
    id_like: String,
    version_id: String,
}

impl OsRelease {
    fn read(root: &Root) -> Self {
        let mut buffer = Vec::new();
        let found = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|path| root.read(path, &mut buffer).ok().map(text));
        Self::parse(&found.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut release = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = value.trim_matches(['"', '\'']).to_owned();
            match key {
                "ID" => release.id = value,
                "ID_LIKE" => release.id_like = value,
                "VERSION_ID" => release.version_id = value,
                _ => {}
            }
        }
        if release.id.is_empty() {
            release.id = "linux".to_owned();
        }
        release
    }

    /// Debian keeps its point releases in a file of its own, which in testing
    /// has a name instead of a number.
    fn version(&self, root: &Root) -> String {
        let mut buffer = Vec::new();
        let debian = match self.id.as_str() {
            "debian" => root.read("etc/debian_version", &mut buffer).unwrap_or(b""),
            _ => b"",
        };
        match text(debian.trim_ascii()) {
            text if text.starts_with(|c: char| c.is_ascii_digit()) => text,
            _ => self.version_id.clone(),
        }
    }

    fn family(&self) -> String {
        let names = std::iter::once(self.id.as_str()).chain(self.id_like.split_whitespace());
        for name in names {
            let family = FAMILIES
                .iter()
                .find(|(_, members)| members.iter().any(|member| is_named(name, member)));
            if let Some((family, _)) = family {
                return (*family).to_owned();
            }
        }
        self.id.clone()
    }
}

/// `opensuse-tumbleweed` is an `opensuse`.
fn is_named(name: &str, member: &str) -> bool {
    name.split('-').next() == Some(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_by_name_and_by_likeness() {
        for (text, id, family) in [
            ("ID=debian\nVERSION_ID=\"12\"\n", "debian", "debian"),
            ("ID=ubuntu\nID_LIKE=debian\n", "ubuntu", "debian"),
            (
                "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"",
                "almalinux",
                "rhel",
            ),
            ("ID=opensuse-tumbleweed", "opensuse-tumbleweed", "suse"),
            ("ID=zorin\nID_LIKE='ubuntu debian'", "zorin", "debian"),
            ("ID=alpine", "alpine", "alpine"),
            ("", "linux", "linux"),
        ] {
            let release = OsRelease::parse(text);
            assert_eq!(release.id, id);
            assert_eq!(release.family(), family, "{text}");
        }
    }
}
