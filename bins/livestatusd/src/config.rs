//! The configuration file, livestatusd.toml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use objects::SiteId;
use program::config::{Table, Value};

use crate::auth::{Authorization, Contacts, Others, Strictness, Users};
use crate::history::Settings;

mod endpoint;

pub(crate) use endpoint::{Address, Endpoint, Serve};

/// Longest path of a Unix socket on Linux, without the NUL.
const MAX_SOCKET_PATH: usize = 107;

/// What the configuration file says, with the defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The merged socket.
    pub(crate) socket: PathBuf,
    /// Directory of the sockets that show one site each.
    pub(crate) site_sockets: PathBuf,
    /// Directory of the sockets that take dumps of one site each.
    pub(crate) ingest_sockets: PathBuf,
    /// Directory with one directory of `*.mk` files per site.
    pub(crate) configuration: PathBuf,
    /// The file that states survive a restart in.
    pub(crate) snapshot: PathBuf,
    /// Where changes of state are kept, if they are.
    pub(crate) history: Option<Settings>,
    /// Where else clients are listened to.
    pub(crate) listen: Vec<Endpoint>,
    /// Whether dumps and configuration without a frame are taken.
    pub(crate) allow_unmarked: bool,
    /// Whether the merged socket takes dumps, of the sites that they name.
    pub(crate) dumps_on_merged: bool,
    /// Whether clients are told to treat this program as Naemon.
    pub(crate) as_naemon: bool,
    /// Limits of connections.
    pub(crate) limits: Limits,
    /// Who users are, and what they may see.
    pub(crate) users: Users,
}

/// Limits of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at the same time, over all sockets.
    pub(crate) connections: usize,
    /// Those among them that have not agreed on TLS yet.
    pub(crate) half_open: usize,
    /// How long that may take.
    pub(crate) handshake_timeout: Duration,
    /// How long a connection may say nothing between requests.
    pub(crate) idle_timeout: Duration,
    /// How long a request may take to arrive.
    pub(crate) request_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub(crate) write_timeout: Duration,
}

impl Config {
    /// Reads the file and checks everything that can be checked without
    /// changing anything. On error the list has every problem.
    pub(crate) fn read(file: &Path) -> Result<Self, Vec<String>> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| vec![format!("cannot read {}: {error}", file.display())])?;
        let mut problems = Vec::new();
        let config = Self::parse(&file.display().to_string(), &text, &mut problems);
        config.check_paths(&mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    fn parse(file: &str, text: &str, problems: &mut Vec<String>) -> Self {
        let mut root = Table::parse(file, text, problems);
        let mut path = |key, default: &str| {
            root.take(key, absolute, problems)
                .unwrap_or_else(|| default.into())
        };
        let socket = path("socket", "/run/sitewire/live");
        let site_sockets = path("site_sockets", "/run/sitewire/live.d");
        let ingest_sockets = path("ingest_sockets", "/run/sitewire/ingest.d");
        let configuration = path("configuration", "/var/lib/sitewire/shadow");
        let snapshot = path("snapshot", "/var/lib/sitewire/livestatusd.snapshot");
        let history = root.take("history", absolute, problems);
        let days = root
            .take("history_days", at_least_one, problems)
            .and_then(|days| u32::try_from(days).ok())
            .unwrap_or(30);
        let allow_unmarked = root
            .take("allow_unmarked", Table::boolean, problems)
            .unwrap_or(false);
        let dumps_on_merged = root
            .take("dumps_on_merged", Table::boolean, problems)
            .unwrap_or(false);
        let as_naemon = root
            .take("as_naemon", Table::boolean, problems)
            .unwrap_or(false);
        let connections = root
            .take("connections", at_least_one, problems)
            .unwrap_or(4096);
        let half_open = root
            .take("half_open", at_least_one, problems)
            .unwrap_or(256);
        let mut timeout = |key, default| {
            root.take(key, positive, problems)
                .unwrap_or(Duration::from_secs(default))
        };
        let limits = Limits {
            connections,
            half_open,
            handshake_timeout: timeout("handshake_timeout", 10),
            idle_timeout: timeout("idle_timeout", 300),
            request_timeout: timeout("request_timeout", 10),
            write_timeout: timeout("write_timeout", 60),
        };
        let listen = endpoint::endpoints(&mut root, problems);
        let users = users(&mut root, problems);
        root.finish(problems);
        Self {
            socket,
            site_sockets,
            ingest_sockets,
            configuration,
            snapshot,
            history: history.map(|directory| Settings { directory, days }),
            listen,
            allow_unmarked,
            as_naemon,
            dumps_on_merged,
            limits,
            users,
        }
    }

    fn check_paths(&self, problems: &mut Vec<String>) {
        if let Err(error) = std::fs::read_dir(&self.configuration) {
            problems.push(format!(
                "`configuration`: cannot read directory {}: {error}",
                self.configuration.display()
            ));
        }
        check_socket(&self.socket, problems);
        check_parent("socket", &self.socket, problems);
        for endpoint in &self.listen {
            endpoint.check(problems);
            if endpoint.address == Address::Unix(self.socket.clone()) {
                problems.push(format!(
                    "`listen`: {} is `socket` already",
                    endpoint.address
                ));
            }
        }
        check_parent("snapshot", &self.snapshot, problems);
        if let Some(history) = &self.history {
            check_parent("history", &history.directory, problems);
        }
        if self.snapshot.is_dir() {
            problems.push(format!(
                "`snapshot`: {} is a directory",
                self.snapshot.display()
            ));
        }
        for (key, directory) in [
            ("site_sockets", &self.site_sockets),
            ("ingest_sockets", &self.ingest_sockets),
        ] {
            // It is made at start if only the last part is missing.
            if directory.exists() && !directory.is_dir() {
                problems.push(format!(
                    "`{key}`: {} is not a directory",
                    directory.display()
                ));
            } else if !directory.exists() {
                check_parent(key, directory, problems);
            }
        }
        if self.site_sockets == self.ingest_sockets {
            problems
                .push("`site_sockets` and `ingest_sockets` must be different directories".into());
        }
    }
}

fn users(root: &mut Table, problems: &mut Vec<String>) -> Users {
    let strictness = |value| {
        one_of(
            value,
            [("loose", Strictness::Loose), ("strict", Strictness::Strict)],
        )
    };
    let others = |value| {
        one_of(
            value,
            [("mapped", Others::Nobody), ("same", Others::SameName)],
        )
    };
    let defaults = Authorization::default();
    let mut users = Users {
        rules: Authorization {
            service: root
                .take("service_authorization", strictness, problems)
                .unwrap_or(defaults.service),
            group: root
                .take("group_authorization", strictness, problems)
                .unwrap_or(defaults.group),
        },
        others: root
            .take("merged_users", others, problems)
            .unwrap_or_default(),
        mapped: BTreeMap::new(),
    };
    for mut user in root.take_tables("user", problems) {
        let name = user.require("name", Table::text, problems);
        let contacts = user.require("contacts", contacts, problems);
        if let (Some(name), Some(contacts)) = (name, contacts)
            && users.mapped.insert(name.clone().into(), contacts).is_some()
        {
            problems.push(user.problem(&format!("user `{name}` is there twice")));
        }
        user.finish(problems);
    }
    users
}

/// `SITE/CONTACT`, or `*/CONTACT` for all sites that are not named.
fn contacts(value: Value) -> Result<Contacts, String> {
    let mut contacts = Contacts::default();
    for text in Table::texts(value)? {
        let (site, contact) = text
            .split_once('/')
            .filter(|(_, contact)| !contact.is_empty())
            .ok_or_else(|| format!("must have the form SITE/CONTACT, not `{text}`"))?;
        let before = if site == "*" {
            contacts.elsewhere.replace(contact.into())
        } else {
            let site =
                SiteId::new(site).map_err(|error| format!("names a site wrongly: {error}"))?;
            contacts.at.insert(site, contact.into())
        };
        if before.is_some() {
            return Err(format!("names two contacts for `{site}`"));
        }
    }
    Ok(contacts)
}

fn one_of<T>(value: Value, words: [(&str, T); 2]) -> Result<T, String> {
    let text = Table::text(value)?;
    let [(one, _), (other, _)] = &words;
    let wrong = format!("must be `{one}` or `{other}`");
    let found = words.into_iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| meaning).ok_or(wrong)
}

/// Complains if no socket can be bound at `path`.
pub(crate) fn check_socket(path: &Path, problems: &mut Vec<String>) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::FileTypeExt;

    let length = path.as_os_str().as_bytes().len();
    if length > MAX_SOCKET_PATH {
        problems.push(format!(
            "the path of a socket may have {MAX_SOCKET_PATH} bytes, {} has {length}",
            path.display()
        ));
    }
    if let Ok(metadata) = std::fs::symlink_metadata(path)
        && !metadata.file_type().is_socket()
    {
        problems.push(format!(
            "{} is in the way: it is not a socket",
            path.display()
        ));
    }
}

fn check_parent(key: &str, path: &Path, problems: &mut Vec<String>) {
    let parent = path.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        problems.push(format!(
            "`{key}`: directory {} does not exist",
            parent.display()
        ));
    } else if rustix::fs::access(
        parent,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .is_err()
    {
        problems.push(format!(
            "`{key}`: directory {} is not writable",
            parent.display()
        ));
    }
}

fn absolute(value: Value) -> Result<PathBuf, String> {
    let path = Table::path(value)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("must be an absolute path".to_owned())
    }
}

fn positive(value: Value) -> Result<Duration, String> {
    let duration = Table::duration(value)?;
    if duration.is_zero() {
        Err("must be longer than nothing".to_owned())
    } else {
        Ok(duration)
    }
}

fn at_least_one(value: Value) -> Result<usize, String> {
    usize::try_from(Table::integer(value)?)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "must be at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        let mut problems = Vec::new();
        let config = Config::parse("x", "", &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config.socket, Path::new("/run/sitewire/live"));
        assert_eq!(config.limits.connections, 4096);
        assert_eq!(config.limits.idle_timeout, Duration::from_secs(300));
    }

    #[test]
    fn every_mistake_is_listed() {
        let mut problems = Vec::new();
        let text = "socket = 'run/live'\nsnapshto = '/x'\nconnections = 0\nidle_timeout = '0s'\n";
        Config::parse("x", text, &mut problems);
        assert_eq!(
            problems,
            [
                "x:1:10: `socket` must be an absolute path",
                "x:3:15: `connections` must be at least 1",
                "x:4:16: `idle_timeout` must be longer than nothing",
                "x:2:1: unknown key `snapshto`, did you mean `snapshot`?",
            ]
        );
    }

    #[test]
    fn users_are_contacts_of_sites() {
        let mut problems = Vec::new();
        let text = "service_authorization = 'strict'\ngroup_authorization = 'loose'\nmerged_users = 'same'\n\
                    [[user]]\nname = 'ann'\ncontacts = ['a/admin', '*/ann/x']\n[[user]]\nname = 'bob'\ncontacts = []\n";
        let users = Config::parse("x", text, &mut problems).users;
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            (users.rules.service, users.rules.group, users.others),
            (Strictness::Strict, Strictness::Loose, Others::SameName)
        );
        let ann = Contacts {
            at: [(SiteId::new("a").unwrap(), "admin".into())].into(),
            elsewhere: Some("ann/x".into()),
        };
        let mapped = [("ann".into(), ann), ("bob".into(), Contacts::default())];
        assert_eq!(users.mapped, mapped.into());
    }

    #[test]
    fn mistakes_about_users_are_listed() {
        let mut problems = Vec::new();
        let text = "merged_users = 'all'\n[[user]]\nname = 'a'\ncontacts = ['admin']\n[[user]]\nname = 'b'\n\
                    contacts = ['a/x', 'a/y']\n[[user]]\nname = 'c'\ncontacts = ['-/y']\n[[user]]\nname = 'd'\n\
                    contacts = []\nmore = 1\n[[user]]\nname = 'd'\ncontacts = []\n";
        Config::parse("x", text, &mut problems);
        assert_eq!(problems.len(), 6, "{problems:#?}");
        for (problem, want) in problems.iter().zip([
            "x:1:16: `merged_users` must be `mapped` or `same`",
            "x:4:12: `contacts` must have the form SITE/CONTACT, not `admin`",
            "x:7:12: `contacts` names two contacts for `a`",
            "x:10:12: `contacts` names a site wrongly: \"-\" is not a site id",
            "x:14:1: unknown key `more`",
            "user `d` is there twice",
        ]) {
            assert!(problem.contains(want), "{problem}");
        }
    }

    #[test]
    fn the_example_has_the_defaults() {
        let text = include_str!("../../../packaging/examples/livestatusd.toml");
        let mut problems = Vec::new();
        let config = Config::parse("x", text, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config, Config::parse("x", "", &mut problems));
    }
}
