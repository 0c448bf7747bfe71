//! The agent and the system it runs on.

use std::fs;

use agent::document::{Agent, DEFAULT_CHECK_INTERVAL};
use jiff::Zoned;
use procfs::{Current, Uptime};

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

/// What the document says about its origin. It has no interval of its own: the
/// one it claims decides when a reader calls it stale.
pub(crate) fn agent() -> Agent {
    let now = Zoned::now();
    let release = OsRelease::read();
    Agent {
        last_updated: now.strftime("%Y-%m-%d %H:%M:%S.%9f %z %Z").to_string(),
        last_updated_timestamp: u64::try_from(now.timestamp().as_second()).unwrap_or(0),
        system: release.id.clone(),
        system_uptime: Some(Uptime::current().map_or(0, |uptime| uptime.uptime as u64)),
        kernel_version: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        mac_version: release.version(),
        family: release.family(),
        agent_version: program::RELEASE.to_owned(),
        temperature_unit: "C".to_owned(),
        goos: "linux".to_owned(),
        goarch: architecture().to_owned(),
        check_interval: Some(DEFAULT_CHECK_INTERVAL),
        ..Agent::default()
    }
}

/// The processor's name as Go spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
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
    fn read() -> Self {
        let text = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        Self::parse(&text.unwrap_or_default())
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
    fn version(&self) -> String {
        let debian = match self.id.as_str() {
            "debian" => fs::read_to_string("/etc/debian_version").unwrap_or_default(),
            _ => String::new(),
        };
        match debian.trim() {
            text if text.starts_with(|c: char| c.is_ascii_digit()) => text.to_owned(),
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
