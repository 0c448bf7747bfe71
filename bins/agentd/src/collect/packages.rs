//! The inventory of installed software, made by the package manager's own
//! programs, from time to time and apart from all else: it takes seconds.

mod text;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, SystemTime};

use agent::document::{Inventory, LinuxPackage, LinuxUpdate, PackageManager, PackageStats};
use program::child::{Call, End, Environment, Leftovers};

use super::platform::{System, uptime};
use super::root::{Root, unix_time};
use super::schedule::Job;
use super::stop::Stop;
use crate::board::Board;
use crate::config;

/// A machine that has just started has better things to do.
const DELAY: Duration = Duration::from_secs(90);

/// How long what is on the disk, a question over the network, and a refresh may
/// take.
const LOCAL: Duration = Duration::from_secs(30);
const REMOTE: Duration = Duration::from_secs(120);
const REFRESH: Duration = Duration::from_secs(300);

/// Longest list that is read.
const MAX_LIST: usize = 64 << 20;

/// The job that makes it; none if there shall be none. The board tells at once
/// how it stands.
pub(crate) fn job(packages: &config::Packages, board: &Board, stop: &Stop) -> Option<Job> {
    let root = Root::real();
    if !packages.enabled {
        board.put_packages(Inventory::default(), None);
        return None;
    }
    let inventory = &board.packages().inventory;
    if !inventory.enabled || inventory.pending {
        board.put_packages(pending(&root), None);
    }
    let (packages, board, stop) = (packages.clone(), board.clone(), stop.clone());
    Some(Job {
        interval: packages.interval,
        delay: DELAY,
        work: Box::new(move || {
            let inventory = take(&packages, &root, &stop);
            if !stop.is_stopped() {
                board.put_packages(inventory, Some(SystemTime::now()));
            }
        }),
    })
}

/// What of it stands in the document.
pub(crate) fn summary(inventory: &Inventory) -> PackageManager {
    PackageManager {
        enabled: inventory.enabled,
        pending: inventory.pending,
        last_update: inventory.last_update,
        stats: inventory.stats.clone(),
    }
}

fn pending(root: &Root) -> Inventory {
    Inventory {
        enabled: true,
        pending: true,
        stats: stats(root),
        ..Inventory::default()
    }
}

fn stats(root: &Root) -> PackageStats {
    let system = System::read(root);
    PackageStats {
        operating_system: std::env::consts::OS.to_owned(),
        os_name: system.id,
        os_version: system.version,
        os_family: system.family,
        agent_version: program::RELEASE.to_owned(),
        uptime: uptime(root),
        ..PackageStats::default()
    }
}

/// Makes the inventory.
fn take(packages: &config::Packages, root: &Root, stop: &Stop) -> Inventory {
    let mut stats = stats(root);
    let mut found = Found::default();
    match Manager::find() {
        Some(manager) => {
            stats.package_manager = manager.name().to_owned();
            let shell = Shell { stop };
            if let Err(why) = manager.look(&shell, root, packages.update_check, &mut found) {
                stats.last_error = why;
            }
        }
        None => stats.last_error = "no package manager is known here".to_owned(),
    }
    if let Some(limit) = packages.description_length {
        for package in &mut found.packages {
            cut(&mut package.description, limit);
        }
    }
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let security = found
        .updates
        .iter()
        .filter(|update| update.is_security_update);
    stats.installed_packages = count(found.packages.len());
    stats.security_updates = count(security.count());
    stats.upgradable_packages = count(found.updates.len());
    stats.reboot_required = found.reboot_required;
    Inventory {
        enabled: true,
        pending: false,
        last_update: unix_time(),
        stats,
        linux_packages: found.packages,
        linux_updates: found.updates,
        ..Inventory::default()
    }
}

/// To as many bytes as make whole characters.
fn cut(text: &mut String, limit: usize) {
    text.truncate(text.floor_char_boundary(limit));
}

#[derive(Debug, Default)]
struct Found {
    packages: Vec<LinuxPackage>,
    updates: Vec<LinuxUpdate>,
    reboot_required: bool,
}

/// Whose machine this is. The first that is found counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf(&'static str),
    Pacman,
    Zypper,
    Rpm,
}

impl Manager {
    fn find() -> Option<Self> {
        let managers = [
            ("apt-get", Self::Apt),
            ("dnf", Self::Dnf("dnf")),
            ("yum", Self::Dnf("yum")),
            ("pacman", Self::Pacman),
            ("zypper", Self::Zypper),
            ("rpm", Self::Rpm),
        ];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |program: &str| {
            std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
        };
        managers
            .into_iter()
            .find_map(|(program, manager)| is_there(program).then_some(manager))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf(_) => "dnf",
            Self::Pacman => "pacman",
            Self::Zypper => "zypper",
            Self::Rpm => "rpm",
        }
    }

    /// What was found before something failed stays found.
    fn look(
        self,
        shell: &Shell<'_>,
        root: &Root,
        updates: bool,
        found: &mut Found,
    ) -> Result<(), String> {
        found.packages = match self {
            Self::Apt => text::dpkg(&shell.ask(LOCAL, text::DPKG_QUERY)?),
            Self::Pacman => text::pacman(&shell.ask(LOCAL, &["pacman", "-Qi"])?),
            Self::Dnf(_) | Self::Zypper | Self::Rpm => {
                text::rpm(&shell.ask(LOCAL, text::RPM_QUERY)?)
            }
        };
        found.reboot_required = self.needs_reboot(shell, root);
        if updates {
            found.updates = self.updates(shell)?;
        }
        Ok(())
    }

    fn needs_reboot(self, shell: &Shell<'_>, root: &Root) -> bool {
        let ends_with = |code, command: &[&str]| matches!(shell.run(LOCAL, command), Ok((found, _)) if found == code);
        match self {
            Self::Apt => ["run/reboot-required", "run/reboot-required.pkgs"]
                .iter()
                .any(|path| root.path(path).exists()),
            Self::Dnf(_) => ends_with(1, &["needs-restarting", "-r"]),
            Self::Zypper => ends_with(102, &["zypper", "needs-rebooting"]),
            Self::Pacman | Self::Rpm => false,
        }
    }

    /// Asks for newer versions, over the network.
    fn updates(self, shell: &Shell<'_>) -> Result<Vec<LinuxUpdate>, String> {
        match self {
            Self::Apt => {
                shell.ask(REFRESH, &["apt-get", "update", "-q"])?;
                let command = ["apt-get", "-s", "-o", "Debug::NoLocking=1", "upgrade"];
                Ok(text::apt_upgrade(&shell.ask(LOCAL, &command)?))
            }
            Self::Dnf(program) => {
                let (code, list) =
                    shell.run(REFRESH, &[program, "--refresh", "--quiet", "check-update"])?;
                if code != 0 && code != 100 {
                    return Err(format!("{program} check-update ended with {code}"));
                }
                let command = [
                    program,
                    "--quiet",
                    "updateinfo",
                    "list",
                    "--available",
                    "security",
                ];
                let security = shell.ask(REMOTE, &command).unwrap_or_default();
                let installed = shell.ask(LOCAL, text::RPM_QUERY)?;
                Ok(text::dnf_updates(&list, &security, &text::rpm(&installed)))
            }
            Self::Zypper => {
                shell.ask(REFRESH, &["zypper", "--non-interactive", "refresh"])?;
                let command = ["zypper", "--non-interactive", "--xmlout", "list-updates"];
                let mut updates = text::zypper_updates(&shell.ask(REMOTE, &command)?);
                let command = [
                    "zypper",
                    "--non-interactive",
                    "list-patches",
                    "--category",
                    "security",
                ];
                updates.extend(text::zypper_patches(&shell.ask(REMOTE, &command)?));
                Ok(updates)
            }
            Self::Pacman => {
                // 2: there is nothing newer.
                let (code, list) = shell.run(REMOTE, &["checkupdates"])?;
                match code {
                    0 | 2 => Ok(text::checkupdates(&list)),
                    code => Err(format!("checkupdates ended with {code}")),
                }
            }
            Self::Rpm => Ok(Vec::new()),
        }
    }
}

/// Runs programs, in a language that can be read.
struct Shell<'a> {
    stop: &'a Stop,
}

impl Shell<'_> {
    /// What a program prints that ends well.
    fn ask(&self, timeout: Duration, command: &[&str]) -> Result<String, String> {
        match self.run(timeout, command)? {
            (0, printed) => Ok(printed),
            (code, printed) => {
                let last = printed.lines().last().unwrap_or_default();
                Err(format!("{} ended with {code}: {last}", command.join(" ")))
            }
        }
    }

    fn run(&self, timeout: Duration, command: &[&str]) -> Result<(i32, String), String> {
        let variables = ["LANG", "LC_ALL"].map(|name| (OsString::from(name), OsString::from("C")));
        let arguments: Vec<OsString> = command[1..].iter().map(OsString::from).collect();
        let call = Call {
            program: OsStr::new(command[0]),
            arguments: &arguments,
            environment: Environment::Inherited(&variables),
            directory: Some(Path::new("/")),
            input: b"",
            timeout,
            kept_output: MAX_LIST,
            leftovers: Leftovers::Stay,
        };
        let ran = call.run(|_| self.stop.is_stopped());
        let name = command[0];
        match ran.end {
            End::Exited(code) => Ok((code, String::from_utf8_lossy(&ran.printed).into_owned())),
            End::Signalled(signal) => Err(format!("{name} was ended by signal {signal}")),
            End::TimedOut => Err(format!("{name} took longer than {} s", timeout.as_secs())),
            End::Stopped => Err(format!("{name} was stopped")),
            End::NotStarted(error) | End::Lost(error) => Err(format!("{name}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_cut_between_characters() {
        for (limit, want) in [(0, ""), (1, ""), (2, "ä"), (3, "äb"), (80, "äb")] {
            let mut text = "äb".to_owned();
            cut(&mut text, limit);
            assert_eq!(text, want, "{limit}");
        }
    }

    #[test]
    fn the_software_of_this_machine_is_found() {
        if Manager::find() != Some(Manager::Apt) {
            return;
        }
        let packages = config::Packages {
            enabled: true,
            interval: Duration::from_secs(3600),
            update_check: false,
            alternatives: false,
            description_length: Some(20),
        };
        let inventory = take(&packages, &Root::real(), &Stop::default());
        assert_eq!(inventory.stats.last_error, "");
        assert_eq!(inventory.stats.package_manager, "apt");
        let dpkg = inventory
            .linux_packages
            .iter()
            .find(|package| package.name == "dpkg");
        let dpkg = dpkg.unwrap();
        assert!(!dpkg.version.is_empty());
        assert!(dpkg.description.len() <= 20);
        assert_eq!(
            inventory.linux_packages.len() as u64,
            inventory.stats.installed_packages
        );
    }
}
