//! Running containers, asked of the engine over its socket.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent::document::Container;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::{self, Timed};
use super::part::{Collector, Finding, Part};
use super::root::percentage;

/// How long the engine may take for all of it.
const PATIENCE: Duration = Duration::from_secs(8);

/// Longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// Characters that the original shows of an id.
const ID_LEN: usize = 10;

/// All running containers, whose processor time is measured from one collection
/// to the next: the engine itself would take a second for each.
pub(crate) struct Containers {
    engine: Result<Engine, String>,
    before: BTreeMap<String, CpuStats>,
}

/// Where the engine listens, and how it is asked.
#[derive(Debug, PartialEq)]
struct Engine {
    address: Address,
    /// `/v1.41`, or nothing for the newest version.
    version: String,
}

#[derive(Debug, PartialEq)]
enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl Containers {
    /// Of the engine that the usual environment names.
    pub(crate) fn new() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self {
            engine: Engine::named(&variable("DOCKER_HOST"), &variable("DOCKER_API_VERSION")),
            before: BTreeMap::new(),
        }
    }
}

impl Collector for Containers {
    fn collect(&mut self) -> Result<Finding, String> {
        let engine = self.engine.as_ref().map_err(Clone::clone)?;
        let deadline = Instant::now() + PATIENCE;
        let listed: Vec<Listed> = engine.ask("/containers/json", deadline)?;
        let mut found = Vec::new();
        let mut after = BTreeMap::new();
        let mut problems = Vec::new();
        for container in listed {
            let path = format!(
                "/containers/{}/stats?stream=false&one-shot=true",
                container.id
            );
            match engine.ask::<Stats>(&path, deadline) {
                Ok(stats) => {
                    let before = self
                        .before
                        .get(&container.id)
                        .unwrap_or(&stats.precpu_stats);
                    found.push(container.with(&stats, before));
                    after.insert(container.id, stats.cpu_stats);
                }
                // It may have ended meanwhile.
                Err(why) => problems.push(format!("{}: {why}", container.short_id())),
            }
        }
        self.before = after;
        Ok(Finding {
            part: Part::Docker(found),
            note: (!problems.is_empty()).then(|| problems.join("; ")),
        })
    }
}

impl Engine {
    fn named(host: &str, version: &str) -> Result<Self, String> {
        let address = match host.split_once("://") {
            None if host.is_empty() => Address::Unix("/var/run/docker.sock".into()),
            Some(("unix", path)) => Address::Unix(path.into()),
            Some(("tcp" | "http", address)) => Address::Tcp(address.to_owned()),
            _ => return Err(format!("DOCKER_HOST={host} is not unix:// or tcp://")),
        };
        let version = match version {
            "" => String::new(),
            version => format!("/v{version}"),
        };
        Ok(Self { address, version })
    }

    fn ask<T: DeserializeOwned>(&self, path: &str, deadline: Instant) -> Result<T, String> {
        let path = format!("{}{path}", self.version);
        let body = match &self.address {
            Address::Unix(socket) => {
                let stream = UnixStream::connect(socket)
                    .map_err(|error| format!("cannot connect to {}: {error}", socket.display()))?;
                body(stream, "localhost", &path, deadline)?
            }
            Address::Tcp(address) => {
                let found = address.to_socket_addrs().map(|mut found| found.next());
                let socket = found
                    .map_err(|error| format!("cannot find {address}: {error}"))?
                    .ok_or_else(|| format!("{address} has no address"))?;
                let patience = deadline.saturating_duration_since(Instant::now());
                let stream = TcpStream::connect_timeout(&socket, patience.max(ASK_AT_LEAST))
                    .map_err(|error| format!("cannot connect to {socket}: {error}"))?;
                body(stream, address, &path, deadline)?
            }
        };
        serde_json::from_slice(&body)
            .map_err(|error| format!("cannot read what the engine answers to {path}: {error}"))
    }
}

/// A time to wait that is zero is not allowed.
const ASK_AT_LEAST: Duration = Duration::from_millis(1);

fn body(
    mut stream: impl Timed,
    host: &str,
    path: &str,
    deadline: Instant,
) -> Result<Vec<u8>, String> {
    let response = http::get(&mut stream, host, path, deadline, MAX_ANSWER)?;
    match response.status {
        200 => Ok(response.body),
        status => Err(format!("the engine answered {status} to {path}")),
    }
}

/// An element of `/containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Listed {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    state: String,
    status: String,
}

/// What `/containers/ID/stats` tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stats {
    cpu_stats: CpuStats,
    /// Of a second before, from an engine that does not know `one-shot`.
    pub(crate) precpu_stats: CpuStats,
    memory_stats: MemoryStats,
    blkio_stats: BlockStats,
    networks: Option<BTreeMap<String, NetworkStats>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CpuStats {
    cpu_usage: CpuUsage,
    /// Nanoseconds of all processors since the start of the machine.
    system_cpu_usage: u64,
    online_cpus: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: u64,
    percpu_usage: Option<Vec<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryStats {
    usage: u64,
    limit: u64,
    stats: Option<BTreeMap<String, u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BlockStats {
    io_service_bytes_recursive: Option<Vec<BlockEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BlockEntry {
    op: String,
    value: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NetworkStats {
    rx_bytes: u64,
    tx_bytes: u64,
}

impl Listed {
    fn short_id(&self) -> String {
        self.id.chars().take(ID_LEN).collect()
    }

    pub(crate) fn with(&self, stats: &Stats, before: &CpuStats) -> Container {
        let networks = || stats.networks.iter().flat_map(BTreeMap::values);
        let memory = stats.memory_stats.used();
        Container {
            id: self.short_id(),
            name: self
                .names
                .iter()
                .flatten()
                .next()
                .cloned()
                .unwrap_or_default(),
            image: self.image.clone(),
            size_rw: 0,
            size_root_fs: 0,
            state: self.state.clone(),
            status: self.status.clone(),
            network_rx: networks().map(|network| network.rx_bytes as f64).sum(),
            network_tx: networks().map(|network| network.tx_bytes as f64).sum(),
            cpu_percentage: stats.cpu_stats.percentage_since(before),
            memory_percentage: percentage(memory, stats.memory_stats.limit as f64),
            disk_read: stats.blkio_stats.sum("read"),
            disk_write: stats.blkio_stats.sum("write"),
            memory_used: memory,
        }
    }
}

impl CpuStats {
    /// As `docker stats` counts: of one processor, so that it may be more than 100.
    fn percentage_since(&self, before: &Self) -> f64 {
        if before.system_cpu_usage == 0 {
            return 0.0;
        }
        let spent = self.cpu_usage.total_usage;
        let spent = spent.saturating_sub(before.cpu_usage.total_usage);
        let passed = self
            .system_cpu_usage
            .saturating_sub(before.system_cpu_usage);
        let processors = match self.online_cpus {
            0 => self.cpu_usage.percpu_usage.as_ref().map_or(1, Vec::len) as f64,
            online => f64::from(online),
        };
        percentage(spent as f64 * processors, passed as f64)
    }
}

impl MemoryStats {
    /// Without the cache of files that nobody uses: version 1 of control groups
    /// has one name for it, version 2 another.
    fn used(&self) -> f64 {
        let names = ["total_inactive_file", "inactive_file"];
        let inactive = names
            .iter()
            .find_map(|name| self.stats.as_ref()?.get(*name).copied());
        let inactive = inactive.filter(|inactive| *inactive < self.usage);
        (self.usage - inactive.unwrap_or(0)) as f64
    }
}

impl BlockStats {
    fn sum(&self, op: &str) -> u64 {
        let entries = self.io_service_bytes_recursive.iter().flatten();
        entries
            .filter(|entry| entry.op.eq_ignore_ascii_case(op))
            .fold(0, |sum, entry| sum.saturating_add(entry.value))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What an engine answers to each path, in the order in which it is asked.
    fn engine(socket: &std::path::Path, answers: Vec<(&'static str, String)>) {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for (path, answer) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let n = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..n]).into_owned();
                assert!(
                    request.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
                    "{request}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
    }

    fn json(text: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
            text.len()
        )
    }

    const LIST: &str = r#"[{"Id":"4f3c0a9d21aa77e0","Names":["/web"],"Image":"nginx:1.27","ImageID":"sha256:1",
        "Command":"x","Created":1,"Ports":[],"State":"running","Status":"Up 3 hours","Mounts":[]},
        {"Id":"0123456789abcdef","Names":null,"Image":"gone","State":"running","Status":"Up"}]"#;

    fn stats(total: u64, system: u64) -> String {
        json(&format!(
            r#"{{"read":"2026-03-01T08:15:42Z","pids_stats":{{"current":3}},
            "blkio_stats":{{"io_service_bytes_recursive":[{{"major":8,"minor":0,"op":"Read","value":100}},
              {{"major":8,"minor":0,"op":"write","value":5}},{{"major":8,"minor":16,"op":"read","value":11}}],
              "io_serviced_recursive":null}},
            "cpu_stats":{{"cpu_usage":{{"total_usage":{total},"usage_in_usermode":1}},"system_cpu_usage":{system},
              "online_cpus":4,"throttling_data":{{}}}},
            "precpu_stats":{{"cpu_usage":{{"total_usage":0}}}},
            "memory_stats":{{"usage":3000,"stats":{{"inactive_file":1000,"anon":7}},"limit":8000}},
            "name":"/web","networks":{{"eth0":{{"rx_bytes":10,"tx_bytes":20,"rx_errors":0}},"eth1":{{"rx_bytes":1,"tx_bytes":2}}}}}}"#
        ))
    }

    #[test]
    fn containers_are_as_docker_stats_shows_them() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let gone = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}".to_owned();
        let stats_of = |id| match id {
            0 => "/v1.41/containers/4f3c0a9d21aa77e0/stats?stream=false&one-shot=true",
            _ => "/v1.41/containers/0123456789abcdef/stats?stream=false&one-shot=true",
        };
        engine(
            &socket,
            vec![
                ("/v1.41/containers/json", json(LIST)),
                (stats_of(0), stats(1_000, 100_000)),
                (stats_of(1), gone.clone()),
                ("/v1.41/containers/json", json(LIST)),
                (stats_of(0), stats(6_000, 120_000)),
                (stats_of(1), gone),
            ],
        );
        let mut containers = Containers {
            engine: Engine::named(&format!("unix://{}", socket.display()), "1.41"),
            before: BTreeMap::new(),
        };
        let first = containers.collect().unwrap();
        let second = containers.collect().unwrap();
        let note = second.note.unwrap();
        assert!(
            note.starts_with("0123456789: the engine answered 404"),
            "{note}"
        );
        let (Part::Docker(first), Part::Docker(second)) = (first.part, second.part) else {
            panic!("these are no containers");
        };
        assert_eq!(first[0].cpu_percentage, 0.0);
        let web = Container {
            id: "4f3c0a9d21".to_owned(),
            name: "/web".to_owned(),
            image: "nginx:1.27".to_owned(),
            size_rw: 0,
            size_root_fs: 0,
            state: "running".to_owned(),
            status: "Up 3 hours".to_owned(),
            network_rx: 11.0,
            network_tx: 22.0,
            cpu_percentage: 100.0,
            memory_percentage: 25.0,
            disk_read: 111,
            disk_write: 5,
            memory_used: 2000.0,
        };
        assert_eq!(second, [web]);
    }

    #[test]
    fn the_engine_is_where_the_environment_says() {
        for (host, version, want) in [
            (
                "",
                "",
                Some((Address::Unix("/var/run/docker.sock".into()), "")),
            ),
            (
                "unix:///x.sock",
                "1.44",
                Some((Address::Unix("/x.sock".into()), "/v1.44")),
            ),
            (
                "tcp://127.0.0.1:2375",
                "",
                Some((Address::Tcp("127.0.0.1:2375".into()), "")),
            ),
            ("ssh://me@there", "", None),
        ] {
            let engine = Engine::named(host, version).ok();
            let want = want.map(|(address, version)| Engine {
                address,
                version: version.to_owned(),
            });
            assert_eq!(engine, want, "{host}");
        }
    }

    #[test]
    fn without_an_engine_the_reason_is_told() {
        let mut containers = Containers {
            engine: Engine::named("unix:///gone/docker.sock", ""),
            before: BTreeMap::new(),
        };
        let why = containers.collect().err().unwrap();
        assert!(
            why.starts_with("cannot connect to /gone/docker.sock"),
            "{why}"
        );
    }
}
