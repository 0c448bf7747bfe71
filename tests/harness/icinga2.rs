//! A real Icinga 2 with its Livestatus feature, run as an ordinary user.

use std::path::PathBuf;

use crate::{Authority, Credentials, Program, Running, Site, livestatus, peer, ports, wait};

/// An Icinga 2 that checks nothing by itself. Results come in through
/// [`Icinga2::command`], or from a plugin it is told to run.
pub struct Icinga2 {
    process: Running,
    site: Site,
    api: Option<Api>,
}

/// Where it takes requests, and what vouches for it.
struct Api {
    port: u16,
    authority: Authority,
}

/// What the REST API calls the server, and its certificate is for.
pub const NODE: &str = "icinga";
/// Whose certificate is that of its user `machine`.
const CLIENT: &str = "remote1";
/// The password of its users `sitewire`, who may do what is needed, and
/// `reader`, who may not.
pub const PASSWORD: &str = "not a secret";

/// User and password of `sitewire`, as HTTP has them.
const AUTHORIZATION: &str = "Basic c2l0ZXdpcmU6bm90IGEgc2VjcmV0";

/// What every configuration here begins with.
const HEAD: &str = r#"
include <itl>
library "livestatus"
object IcingaApplication "app" { enable_flapping = true }
object CheckerComponent "checker" { }
// Prints a file and ends with a code, as a plugin that says odd things.
object CheckCommand "says" {
  command = [ "/bin/sh", "-c", "cat \"$$0\"; exit $$1", "$file$", "$code$" ]
}
template Host "quiet" { check_command = "says", enable_active_checks = false }
template Service "quiet" { check_command = "says", enable_active_checks = false }
"#;

impl Icinga2 {
    /// Starts one with `objects` in its configuration, in which `@` stands for
    /// the directory of the site; `None` where Icinga 2 is not installed.
    /// `files` are what its plugin can say.
    #[track_caller]
    pub fn start(name: &str, objects: &str, files: &[(&str, &[u8])]) -> Option<Self> {
        Self::start_with(name, objects, files, None)
    }

    /// The same with its REST API.
    #[track_caller]
    pub fn start_with_api(name: &str, objects: &str) -> Option<Self> {
        let api = Api {
            port: ports::free(),
            authority: Authority::new(&[NODE, CLIENT]),
        };
        let listener = format!(
            "object Endpoint NodeName {{ }}\n\
             object Zone NodeName {{ endpoints = [ NodeName ] }}\n\
             object ApiListener \"api\" {{ bind_host = \"127.0.0.1\", bind_port = {} }}\n\
             object ApiUser \"sitewire\" {{\n  password = \"{PASSWORD}\"\n  permissions = \
             [ \"actions/*\", \"objects/query/*\" ]\n}}\n\
             object ApiUser \"reader\" {{\n  password = \"{PASSWORD}\"\n  permissions = \
             [ \"objects/query/*\" ]\n}}\n\
             object ApiUser \"machine\" {{\n  client_cn = \"{CLIENT}\"\n  permissions = \
             [ \"actions/process-check-result\" ]\n}}\n",
            api.port
        );
        Self::start_with(name, &[&listener, objects].concat(), &[], Some(api))
    }

    #[track_caller]
    fn start_with(
        name: &str,
        objects: &str,
        files: &[(&str, &[u8])],
        api: Option<Api>,
    ) -> Option<Self> {
        if !peer::available("icinga2", "icinga2") || !peer::available("setpriv", "util-linux") {
            return None;
        }
        let site = Site::new(name);
        let at = site.directory().display().to_string();
        // The tables log and statehist look for files in the archives.
        for directory in ["data", "log/compat/archives", "cache", "spool", "run"] {
            std::fs::create_dir_all(site.path("var").join(directory))
                .expect("cannot make a directory");
        }
        for (file, content) in files {
            site.write(PathBuf::from("etc/says").join(file), content);
        }
        if let Some(api) = &api {
            let own = api.authority.of(NODE);
            let certificate = format!("{NODE}.crt");
            let key = format!("{NODE}.key");
            for (from, to) in [
                (own.certificate, certificate.as_str()),
                (own.key, &key),
                (api.authority.ca(), "ca.crt"),
            ] {
                let content = std::fs::read(from).expect("sitecert made it");
                site.write(PathBuf::from("var/data/certs").join(to), content);
            }
        }
        let listener = format!(
            "object LivestatusListener \"live\" {{ socket_type = \"unix\", socket_path = \"{at}/tmp/run/live\" }}\n"
        );
        let configuration = [HEAD, &listener, &objects.replace('@', &at)].concat();
        site.write("etc/icinga2.conf", configuration);

        let binary = peer::find("icinga2").expect("looked for above");
        let program = if peer::is_root() {
            // Never as root: the package's own user.
            peer::give(site.directory(), "nagios:");
            Program::foreign("setpriv", "icinga2")
                .args([
                    "--reuid=nagios",
                    "--regid=nagios",
                    "--init-groups",
                    "--inh-caps=-all",
                ])
                .arg(binary)
        } else {
            Program::foreign(binary, "icinga2")
        };
        let directories = [
            ("ConfigDir", "etc"),
            ("DataDir", "var/data"),
            ("LogDir", "var/log"),
            ("CacheDir", "var/cache"),
            ("SpoolDir", "var/spool"),
            ("InitRunDir", "var/run"),
        ];
        let mut process = program
            .arg("daemon")
            .arg("-c")
            .arg(site.path("etc/icinga2.conf"))
            .arg(format!("-DNodeName={NODE}"))
            .args(directories.map(|(constant, directory)| format!("-D{constant}={at}/{directory}")))
            .with_family()
            .start();
        process.wait_for_line("Activated all objects");
        process.wait_for_socket(&site.socket("live"));
        Some(Self { process, site, api })
    }

    /// The process that leads its process group.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its Livestatus socket.
    pub fn live(&self) -> PathBuf {
        self.site.socket("live")
    }

    /// Where its REST API is: `https://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api().port)
    }

    /// The certificate that its REST API knows.
    pub fn client(&self) -> Credentials {
        self.api().authority.of(CLIENT)
    }

    /// What vouches for its REST API.
    pub fn ca(&self) -> PathBuf {
        self.api().authority.ca()
    }

    /// What it says to `GET /v1/PATH`.
    #[track_caller]
    pub fn ask_api(&self, path: &str) -> serde_json::Value {
        let request = format!(
            "GET /v1/{path} HTTP/1.1\r\nHost: {NODE}\r\nAuthorization: {AUTHORIZATION}\r\n\
             Accept: application/json\r\nConnection: close\r\n\r\n"
        );
        let client = crate::tls::Client::new(None);
        let (answer, end) = client.talk(self.api().port, NODE, request.as_bytes(), false);
        let answer = String::from_utf8(answer).expect("UTF-8");
        match answer.split_once("\r\n\r\n") {
            Some((_, body)) => serde_json::from_str(body).expect("JSON"),
            None => panic!("{path}: {answer:?} {end:?}"),
        }
    }

    fn api(&self) -> &Api {
        self.api.as_ref().expect("it was started with its API")
    }

    /// Sends external commands.
    pub fn command<S: AsRef<str>>(&self, commands: impl IntoIterator<Item = S>) {
        livestatus::command(&self.live(), commands);
    }

    /// Sends external commands as of another time.
    pub fn command_at<S: AsRef<str>>(&self, time: u64, commands: impl IntoIterator<Item = S>) {
        livestatus::command_at(time, &self.live(), commands);
    }

    /// Waits until `count` rows of `table` pass the filters in `headers`.
    #[track_caller]
    pub fn wait_for_rows(&self, table: &str, headers: &[&str], count: usize) {
        wait::wait_until(&format!("{count} {table} with {headers:?}"), || {
            livestatus::rows(&self.live(), table, &["state"], headers).len() == count
        });
    }
}
