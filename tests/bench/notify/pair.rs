//! Two sites with a notifyd each, configured for each other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{Authority, Program, Running, Site, ports};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Two sites; nothing runs yet.
pub(super) struct Pair {
    pub(super) remote: Site,
    pub(super) central: Site,
    /// The remote site's.
    pub(super) spool: PathBuf,
    /// Has the state files.
    memory: TempDir,
    _authority: Authority,
}

/// Who opens the connection.
#[derive(Clone, Copy)]
pub(super) enum Opens {
    /// The remote site.
    Remote,
    /// The remote site, to `through`, from where somebody leads on to `port`.
    RemoteThrough { port: u16, through: u16 },
    /// The central site.
    Central,
}

impl Pair {
    /// Spools in `directory`. The state files are written often, so that it is soon
    /// seen how far the daemons are.
    pub(super) fn new(directory: &Path, opens: Opens) -> Self {
        Self::with_state(directory, opens, "20ms")
    }

    /// The same, with another interval of the state files.
    pub(super) fn with_state(directory: &Path, opens: Opens, interval: &str) -> Self {
        let authority = Authority::new(&["remote1", "central"]);
        let memory = memory();
        let port = match opens {
            Opens::RemoteThrough { port, .. } => port,
            _ => ports::free(),
        };
        let (remote, central) = (Site::new("remote1"), Site::new("central"));
        let listen = format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\n");
        let connect = |to: u16| format!("connect = \"127.0.0.1:{to}\"\n");
        let (here, there) = match opens {
            Opens::Remote => ((String::new(), connect(port)), (listen, String::new())),
            Opens::RemoteThrough { through, .. } => {
                ((String::new(), connect(through)), (listen, String::new()))
            }
            Opens::Central => ((listen, String::new()), (String::new(), connect(port))),
        };
        let configure = |site: &Site, rest: String| {
            let spool = directory.join(site.name());
            std::fs::create_dir(&spool).expect("cannot make a directory");
            site.write(
                "etc/notifyd.toml",
                format!(
                    "[site]\nname = \"{}\"\n[spool]\ndirectory = \"{}\"\n[state]\nfile = \"{}\"\ninterval = \"{interval}\"\n{}{rest}",
                    site.name(),
                    spool.display(),
                    memory.path().join(site.name()).display(),
                    authority.tls_table(site.name()),
                ),
            );
            spool
        };
        let (listen, connect) = there;
        configure(
            &central,
            format!("{listen}[[peer]]\nsite = \"remote1\"\n{connect}"),
        );
        let (listen, connect) = here;
        let spool = configure(
            &remote,
            format!("{listen}[[peer]]\nsite = \"central\"\n{connect}send = true\n"),
        );
        Self {
            remote,
            central,
            spool,
            memory,
            _authority: authority,
        }
    }

    /// The notifyd of the remote site, ready for submissions.
    pub(super) fn start_remote(&self) -> Running {
        let mut running = start(&self.remote);
        running.wait_for_line("is ready");
        running
    }

    /// The notifyd of the central site.
    pub(super) fn start_central(&self) -> Running {
        let mut running = start(&self.central);
        running.wait_for_line("is ready");
        running
    }

    /// Until the link is up.
    pub(super) fn wait_for_link(&self) {
        self.wait(|sent, _| sent["peers"][0]["state"] == "established");
    }

    /// Until so many wait at the remote site.
    pub(super) fn wait_for_queue(&self, count: u64) {
        self.wait(|sent, _| sent["accepted"].as_u64() == Some(count));
    }

    /// Until everything has been accepted on both sides, and the sender knows.
    pub(super) fn wait_for_all(&self, count: u64) {
        self.wait(|_, received| received["accepted"].as_u64() == Some(count));
        self.wait_until_empty();
    }

    /// Until nothing waits at the remote site.
    pub(super) fn wait_until_empty(&self) {
        self.wait(|sent, _| {
            let forward = &sent["forwards"][0];
            forward["waiting"] == 0 && forward["processing"] == 0
        });
    }

    /// What the state file of one of the two says; null if there is none.
    pub(super) fn state(&self, site: &Site) -> Value {
        state(&self.memory.path().join(site.name()))
    }

    /// Until the two state files say what is asked for.
    pub(super) fn wait(&self, done: impl Fn(&Value, &Value) -> bool) {
        let began = Instant::now();
        loop {
            let (sent, received) = (self.state(&self.remote), self.state(&self.central));
            if done(&sent, &received) {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "in vain for {PATIENCE:?}: {sent} {received}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Starts the notifyd of a site.
pub(super) fn start(site: &Site) -> Running {
    Program::new("notifyd")
        .label(&format!("notifyd {}", site.name()))
        .arg("--config")
        .arg(site.path("etc/notifyd.toml"))
        .start()
}

/// What a state file says; null if there is none.
pub(super) fn state(file: &Path) -> Value {
    let text = std::fs::read(file.with_extension("json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// A directory in memory, if there is one. Here the state files are written, and
/// synced, fifty times a second: the disk that is measured has no time for that.
fn memory() -> TempDir {
    let shm = Path::new("/dev/shm");
    match shm.is_dir() {
        true => TempDir::new_in(shm),
        false => TempDir::new(),
    }
    .expect("cannot make a directory")
}
