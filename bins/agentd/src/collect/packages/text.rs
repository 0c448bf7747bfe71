//! What package managers print, as packages and updates. Lines that are
//! something else are passed over.

use agent::document::{LinuxPackage, LinuxUpdate};

/// Records end with this character, because descriptions have lines.
const END: char = '\x1e';

pub(super) const DPKG_QUERY: &[&str] = &[
    "dpkg-query",
    "-W",
    "-f=${db:Status-Status}\t${Package}\t${Version}\t${Description}\x1e",
];

pub(super) const RPM_QUERY: &[&str] = &[
    "rpm",
    "-qa",
    "--qf",
    "installed\t%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\t%{SUMMARY}\x1e",
];

/// The installed packages of `DPKG_QUERY`.
pub(super) fn dpkg(text: &str) -> Vec<LinuxPackage> {
    let record = |record: &str| {
        let mut fields = record.trim_start_matches('\n').splitn(4, '\t');
        fields.next().filter(|status| *status == "installed")?;
        Some(LinuxPackage {
            name: fields.next()?.to_owned(),
            version: fields.next()?.to_owned(),
            description: fields.next()?.to_owned(),
        })
    };
    text.split(END).filter_map(record).collect()
}

/// The installed packages of `RPM_QUERY`; keys are kept there as well.
pub(super) fn rpm(text: &str) -> Vec<LinuxPackage> {
    let mut packages = dpkg(text);
    packages.retain(|package| package.name != "gpg-pubkey");
    packages
}

/// `pacman -Qi`: paragraphs of `Key : value`.
pub(super) fn pacman(text: &str) -> Vec<LinuxPackage> {
    let paragraph = |paragraph: &str| {
        let value = |key: &str| {
            let line = paragraph.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start().strip_prefix(':')?.trim().to_owned())
        };
        Some(LinuxPackage {
            name: value("Name ")?,
            version: value("Version ")?,
            description: value("Description ").unwrap_or_default(),
        })
    };
    text.split("\n\n").filter_map(paragraph).collect()
}

/// `Inst NAME [OLD] (NEW ORIGIN, ORIGIN [ARCH])`
pub(super) fn apt_upgrade(text: &str) -> Vec<LinuxUpdate> {
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let (current, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once("] ")?,
            None => ("", rest),
        };
        let (available, origin) = rest.strip_prefix('(')?.split_once(' ')?;
        let is_security = origin.contains("Debian-Security:") || origin.contains("-security");
        Some(LinuxUpdate {
            name: name.to_owned(),
            current_version: current.to_owned(),
            available_version: available.to_owned(),
            is_security_update: is_security,
            is_patch: false,
        })
    };
    text.lines().filter_map(line).collect()
}

/// `NAME.ARCH VERSION REPOSITORY`, up to the packages that others make obsolete;
/// `ADVISORY SEVERITY NAME-VERSION.ARCH` for what is about security.
pub(super) fn dnf_updates(
    list: &str,
    security: &str,
    installed: &[LinuxPackage],
) -> Vec<LinuxUpdate> {
    let secure: Vec<&str> = security
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [full, version, _] = fields[..] else {
            return None;
        };
        let (name, arch) = full.rsplit_once('.')?;
        let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
        let advised = format!("{name}-{without_epoch}.{arch}");
        let advised_with_epoch = format!("{name}-{version}.{arch}");
        let current = installed.iter().find(|package| package.name == name);
        Some(LinuxUpdate {
            name: name.to_owned(),
            current_version: current.map(|p| p.version.clone()).unwrap_or_default(),
            available_version: version.to_owned(),
            is_security_update: secure
                .iter()
                .any(|secure| *secure == advised || *secure == advised_with_epoch),
            is_patch: false,
        })
    };
    list.lines()
        .take_while(|line| !line.starts_with("Obsoleting"))
        .filter_map(line)
        .collect()
}

/// `<update name="…" edition="…" edition-old="…" …>`
pub(super) fn zypper_updates(xml: &str) -> Vec<LinuxUpdate> {
    let element = |element: &str| {
        let element = element.split('>').next()?;
        let attribute = |name: &str| {
            let (_, rest) = element.split_once(&format!(" {name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        Some(LinuxUpdate {
            name: attribute("name")?,
            current_version: attribute("edition-old").unwrap_or_default(),
            available_version: attribute("edition")?,
            is_security_update: false,
            is_patch: false,
        })
    };
    xml.split("<update").skip(1).filter_map(element).collect()
}

/// `REPOSITORY | NAME | CATEGORY | SEVERITY | …`
pub(super) fn zypper_patches(table: &str) -> Vec<LinuxUpdate> {
    let line = |line: &str| {
        let mut fields = line.split('|').map(str::trim).skip(1);
        let name = fields.next()?;
        fields.next().filter(|category| *category == "security")?;
        Some(LinuxUpdate {
            name: name.to_owned(),
            is_security_update: true,
            is_patch: true,
            ..LinuxUpdate::default()
        })
    };
    table.lines().filter_map(line).collect()
}

/// `NAME OLD -> NEW`
pub(super) fn checkupdates(text: &str) -> Vec<LinuxUpdate> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, current, "->", available] = fields[..] else {
            return None;
        };
        Some(LinuxUpdate {
            name: name.to_owned(),
            current_version: current.to_owned(),
            available_version: available.to_owned(),
            ..LinuxUpdate::default()
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, description: &str) -> LinuxPackage {
        LinuxPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.to_owned(),
        }
    }

    fn shown(updates: &[LinuxUpdate]) -> Vec<(&str, &str, &str, bool)> {
        updates
            .iter()
            .map(|update| {
                (
                    update.name.as_str(),
                    update.current_version.as_str(),
                    update.available_version.as_str(),
                    update.is_security_update,
                )
            })
            .collect()
    }

    #[test]
    fn installed_packages_are_read() {
        let text = "installed\tcron\t3.0pl1-162\tprocess scheduling daemon\n runs commands\x1e\
                    config-files\tgone\t1\tx\x1einstalled\tx\t1\t\x1egarbage\x1e";
        assert_eq!(
            dpkg(text),
            [
                package(
                    "cron",
                    "3.0pl1-162",
                    "process scheduling daemon\n runs commands"
                ),
                package("x", "1", ""),
            ]
        );
        let text = "installed\tbash\t5.1.8-9.el9\tThe shell\x1einstalled\tgpg-pubkey\t1-2\tgpg\x1e";
        assert_eq!(rpm(text), [package("bash", "5.1.8-9.el9", "The shell")]);
        let text = "Name            : acl\nVersion         : 2.3.2-1\nDescription     : Access: lists\n\
                    Architecture    : x86_64\n\nName            : zlib\nVersion         : 1:1.3\n\nnothing\n";
        assert_eq!(
            pacman(text),
            [
                package("acl", "2.3.2-1", "Access: lists"),
                package("zlib", "1:1.3", "")
            ]
        );
    }

    #[test]
    fn updates_of_apt_tell_where_they_come_from() {
        let text = "Reading package lists...\n\
            Inst libssl3 [3.0.15-1~deb12u1] (3.0.16-1~deb12u1 Debian-Security:12/stable-security [amd64])\n\
            Inst curl [7.88.1-10] (7.88.1-11 Debian:12.9/stable [amd64]) []\n\
            Inst new (1.0 Ubuntu:24.04/noble-security [all])\n\
            Conf libssl3 (3.0.16-1~deb12u1 Debian-Security:12/stable-security [amd64])\nInst broken\n";
        assert_eq!(
            shown(&apt_upgrade(text)),
            [
                ("libssl3", "3.0.15-1~deb12u1", "3.0.16-1~deb12u1", true),
                ("curl", "7.88.1-10", "7.88.1-11", false),
                ("new", "", "1.0", true),
            ]
        );
    }

    #[test]
    fn updates_of_the_others_are_read() {
        let list = "\nbash.x86_64    5.1.8-10.el9   baseos\nopenssl.x86_64 1:3.2.2-6.el9 baseos\n\
                    Obsoleting Packages\nold.noarch 1 x\n";
        let security = "RHSA-2026:1 Important/Sec. openssl-1:3.2.2-6.el9.x86_64\n";
        let installed = [package("bash", "5.1.8-9.el9", "")];
        assert_eq!(
            shown(&dnf_updates(list, security, &installed)),
            [
                ("bash", "5.1.8-9.el9", "5.1.8-10.el9", false),
                ("openssl", "", "1:3.2.2-6.el9", true),
            ]
        );
        let xml = "<stream><update-list><update kind=\"package\" name=\"vim\" edition=\"9.1-2\" arch=\"x\" \
                   edition-old=\"9.1-1\"><summary>x</summary></update><update kind=\"x\"></update-list>";
        assert_eq!(
            shown(&zypper_updates(xml)),
            [("vim", "9.1-1", "9.1-2", false)]
        );
        let table = "Repository | Name | Category | Severity\n-----+----\nUpdate | SUSE-1 | security | important\n\
                     Update | SUSE-2 | recommended | low\n";
        assert_eq!(shown(&zypper_patches(table)), [("SUSE-1", "", "", true)]);
        let text = "linux 6.12.1-1 -> 6.12.2-1\nnoise\n";
        assert_eq!(
            shown(&checkupdates(text)),
            [("linux", "6.12.1-1", "6.12.2-1", false)]
        );
    }
}
