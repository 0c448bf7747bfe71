//! The configuration file, livestatusd.toml.

use std::path::{Path, PathBuf};
use std::time::Duration;

use program::config::{Table, Value};

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
    /// Whether dumps and configuration without a frame are taken.
    pub(crate) allow_unmarked: bool,
    /// Limits of connections.
    pub(crate) limits: Limits,
}

/// Limits of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at the same time, over all sockets.
    pub(crate) connections: usize,
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
        let allow_unmarked = root
            .take("allow_unmarked", Table::boolean, problems)
            .unwrap_or(false);
        let connections = root
            .take("connections", at_least_one, problems)
            .unwrap_or(4096);
        let mut timeout = |key, default| {
            root.take(key, positive, problems)
                .unwrap_or(Duration::from_secs(default))
        };
        let limits = Limits {
            connections,
            idle_timeout: timeout("idle_timeout", 300),
            request_timeout: timeout("request_timeout", 10),
            write_timeout: timeout("write_timeout", 60),
        };
        root.finish(problems);
        Self {
            socket,
            site_sockets,
            ingest_sockets,
            configuration,
            snapshot,
            allow_unmarked,
            limits,
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
        check_parent("snapshot", &self.snapshot, problems);
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
    fn the_example_has_the_defaults() {
        let text = include_str!("../../../packaging/examples/livestatusd.toml");
        let mut problems = Vec::new();
        let config = Config::parse("x", text, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config, Config::parse("x", "", &mut problems));
    }
}
