//! The wires that are ready to use: scripts/wires, packaging/systemd and the
//! example for sshd, each as its manual page tells to set it up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use harness::livestatus::rows;
use harness::program::repository;
use harness::{Authority, Livestatusd, Program, Site, Sshd, peer, wait_until};

use crate::remote_site;

/// A centre that takes configurations through liveload into a livestatusd.
struct Centre {
    display: Livestatusd,
    /// Where the options of `receive` are.
    options: PathBuf,
}

impl Centre {
    fn start() -> Self {
        let display = Livestatusd::start(&["remote1"]);
        let at = display.site.directory().display();
        let options = display.site.write(
            "etc/receive.conf",
            format!(
                "options=(--backend livestatusd --target {at}/tmp/run/ingest.d/$site\n\
                 --config-dir {at}/etc/shadow --ledger {at}/var/ledger\n\
                 --reload-command 'kill -HUP {}' --reload-interval 0s)\n",
                display.process.pid()
            ),
        );
        Self { display, options }
    }

    fn receive(&self) -> String {
        let options = self.options.display();
        format!("{} --config {options}", script("receive").display())
    }

    #[track_caller]
    fn wait_for_services(&self) {
        let live = self.display.live("remote1");
        wait_until("the configuration is in force", || {
            remote_site::services(&live).len() == remote_site::SERVICES.len()
        });
    }

    fn has_configuration(&self) -> bool {
        let file = "etc/shadow/remote1/sitewire.mk";
        self.display.site.path(file).exists()
    }
}

fn script(name: &str) -> PathBuf {
    repository().join("scripts/wires").join(name)
}

/// The line that lets the key of the test in for `words` of `authorize`.
#[track_caller]
fn authorize(sshd: &Sshd, words: &[&str]) {
    let line = Program::foreign(script("authorize"), "authorize")
        .args(words)
        .input(sshd.key())
        .run()
        .success();
    assert!(line.text().starts_with("restrict,command=\""), "{line:?}");
    sshd.authorize(&line.text());
}

/// What somebody who got hold of the key may try.
const ATTEMPTS: [&str; 9] = [
    "! ssh localhost id < /dev/null",
    "! ssh localhost 'touch {site}/owned' < /dev/null",
    "! ssh -t -t localhost < /dev/null",
    "ssh localhost -W 127.0.0.1:22 < /dev/null",
    "ssh -o ExitOnForwardFailure=yes -R 0:127.0.0.1:22 localhost true < /dev/null",
    "scp /etc/hostname localhost:{site}/owned",
    "scp localhost:/etc/hostname {site}/owned",
    "scp -O /etc/hostname localhost:{site}/owned",
    "echo 'put /etc/hostname {site}/owned' | sftp -b - localhost",
];

/// Nothing that the key tries gets it anywhere.
#[track_caller]
fn nothing_else_goes(sshd: &Sshd, site: &Site) {
    for attempt in ATTEMPTS {
        let at = site.directory().display().to_string();
        // A client that talks another protocol may wait for ever for an answer.
        let line = format!("timeout 2 bash -c \"{}\"", attempt.replace("{site}", &at));
        let outcome = sshd.bash(&line).run();
        // The forced command runs instead, and may be content with nothing.
        if !attempt.starts_with('!') {
            assert_ne!(outcome.code(), Some(0), "{line}: {outcome:?}");
        }
        let said = outcome.text() + &outcome.errors();
        assert!(!said.contains("uid="), "{line}: {said}");
        assert!(!said.contains("OpenSSH_"), "{line}: {said}");
        assert!(!site.path("owned").exists(), "{line}");
    }
}

#[test]
fn a_key_for_an_ingest_socket_delivers_states_and_nothing_else() {
    let Some(sshd) = Sshd::start() else { return };
    let remote = remote_site::start();
    let centre = Centre::start();
    let source = remote.live("remote1");
    let from = source.display();
    let configuration = Program::new("cmcdump")
        .args(["-C", "--site", "remote1", "-s"])
        .arg(&source)
        .run()
        .success();
    centre.display.configure("remote1", &configuration.stdout);
    centre.wait_for_services();

    let sockets = centre.display.site.socket("ingest.d").display().to_string();
    authorize(&sshd, &["ingest", "remote1", "--sockets", &sockets]);
    let send =
        format!("export OMD_SITE=remote1\nset -o pipefail; cmcdump -s {from} | ssh localhost");
    let carried = sshd.bash(&send).run().success();
    let count = remote_site::SERVICES.len() + 1;
    assert_eq!(
        carried.text(),
        format!("taken {count}, unknown 0, refused 0\n")
    );
    let live = centre.display.live("remote1");
    assert_eq!(remote_site::services(&live), remote_site::services(&source));

    nothing_else_goes(&sshd, &centre.display.site);
    let merged = centre.display.merged().display().to_string();
    for (what, line) in [
        (
            "a query, whatever program is asked for",
            format!("printf 'GET hosts\\n\\n' | ssh localhost unixcat {merged}"),
        ),
        (
            "a command of another kind",
            "printf 'COMMAND [1] PROCESS_HOST_CHECK_RESULT;localhost;2;evil\\n\\n' | ssh localhost"
                .to_owned(),
        ),
    ] {
        let outcome = sshd.bash(&line).run();
        assert!(!outcome.text().contains("127.0.0.1"), "{what}: {outcome:?}");
        assert!(!outcome.text().starts_with("taken"), "{what}: {outcome:?}");
    }
    assert_eq!(remote_site::services(&live), remote_site::services(&source));
    // The dump may say what it likes: the socket is the site's.
    let other = sshd
        .bash(&send.replace("OMD_SITE=remote1", "OMD_SITE=remote2"))
        .run();
    assert_ne!(other.code(), Some(255), "{other:?}");
    assert_eq!(remote_site::services(&live), remote_site::services(&source));
}

#[test]
fn a_key_for_receive_delivers_configurations_and_nothing_else() {
    let Some(sshd) = Sshd::start() else { return };
    let remote = remote_site::start();
    let centre = Centre::start();
    let from = remote.live("remote1");
    let from = from.display();
    authorize(
        &sshd,
        &["receive", "remote1", "--receive", &centre.receive()],
    );
    nothing_else_goes(&sshd, &centre.display.site);
    assert!(!centre.has_configuration());
    // The dump says another site: the key's counts.
    sshd.bash(&format!(
        "set -o pipefail; cmcdump -C --site elsewhere -s {from} | zstd -q | ssh localhost"
    ))
    .run()
    .success();
    centre.wait_for_services();
    let shown = fs::read_dir(centre.display.site.path("etc/shadow")).expect("it is there");
    let sites = shown.filter(|entry| {
        let entry = entry.as_ref().expect("readable");
        entry.file_type().expect("readable").is_dir()
    });
    assert_eq!(sites.count(), 1);
    // The same key brings states, of livedump as well, and livestatusd shows them
    // in full.
    sshd.bash(&format!(
        "set -o pipefail; livedump --full --site elsewhere -s {from} | ssh localhost"
    ))
    .run()
    .success();
    let live = centre.display.live("remote1");
    let source = remote.live("remote1");
    assert_eq!(remote_site::services(&live), remote_site::services(&source));
    let complete = |socket: &Path| {
        let columns = [
            "description",
            "state_type",
            "current_attempt",
            "last_state_change",
        ];
        let mut rows = rows(socket, "services", &columns, &[]);
        rows.sort_by_key(|row| row[0].to_string());
        rows
    };
    assert_eq!(complete(&live), complete(&source));
    // Cut on its way, it changes nothing and says so.
    let cut = sshd
        .bash(&format!(
            "set -o pipefail; cmcdump -C --site remote1 -s {from} | head -c 200 | ssh localhost"
        ))
        .run();
    assert_ne!(cut.code(), Some(0));
    assert!(cut.errors().contains("end mark is missing"), "{cut:?}");
    centre.wait_for_services();
}

#[test]
fn send_is_what_cron_and_systemd_run_at_the_remote_site() {
    let Some(sshd) = Sshd::start() else { return };
    let remote = remote_site::start();
    let centre = Centre::start();
    let source = remote.live("remote1");
    let configuration = remote.site.write(
        "etc/send.conf",
        format!(
            "central=localhost\nstate=(cmcdump --site remote1 --socket {0})\n\
             config=(cmcdump -C --site remote1 --socket {0})\nssh=(ssh -v)\n",
            source.display()
        )
        .replace("ssh=(ssh -v)\n", ""),
    );
    let at = configuration.display();
    // What runs is what the crontab has, at another place.
    let crontab = fs::read_to_string(script("crontab.remote")).expect("it is there");
    let jobs: Vec<_> = jobs(&crontab)
        .into_iter()
        .map(|job| job.replace("/etc/sitewire/send.conf", &at.to_string()))
        .collect();
    let [state, config] = &jobs[..] else {
        panic!("{jobs:?}")
    };
    authorize(
        &sshd,
        &["receive", "remote1", "--receive", &centre.receive()],
    );
    sshd.bash(config).run().success();
    centre.wait_for_services();
    let sockets = centre.display.site.socket("ingest.d").display().to_string();
    authorize(&sshd, &["ingest", "remote1", "--sockets", &sockets]);
    let carried = sshd.bash(state).run().success();
    assert!(carried.text().starts_with("taken 5, "), "{carried:?}");
    let live = centre.display.live("remote1");
    assert_eq!(remote_site::services(&live), remote_site::services(&source));
    // The units run the same.
    for (unit, job) in [("state", state), ("config", config)] {
        let unit = unit_line(&format!("sitewire-send-{unit}@.service"), "ExecStart=");
        let unit = unit.replace("/etc/sitewire/send/%i.conf", &at.to_string());
        assert_eq!(&here(&unit), job);
    }
    // A run that is still under way is not overtaken.
    let busy = sshd
        .bash(&format!("exec 9<{at}; flock 9; {state} 9<&-"))
        .run();
    assert_eq!(busy.code(), Some(75), "{busy:?}");
    for (what, configuration) in [
        ("not there", "/nowhere"),
        (
            "not shell",
            repository().join("README.md").to_str().expect("ASCII"),
        ),
    ] {
        let outcome = Program::foreign(script("send"), "send")
            .args([configuration, "state"])
            .run();
        assert_eq!(outcome.code(), Some(78), "{what}: {outcome:?}");
    }
}

/// The commands of a crontab, with our scripts where they lie here.
fn jobs(crontab: &str) -> Vec<String> {
    let lines = crontab.lines().filter(|line| !line.starts_with('#'));
    let command = |line: &str| here(line.splitn(6, ' ').last().expect("six fields"));
    lines.map(command).collect()
}

fn here(line: &str) -> String {
    let scripts = repository().join("scripts/wires");
    line.replace("/usr/lib/sitewire", &scripts.display().to_string())
}

fn unit_line(unit: &str, key: &str) -> String {
    let text = fs::read_to_string(repository().join("packaging/systemd").join(unit))
        .expect("the unit is there");
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("{unit} has no {key}"))
        .to_owned()
}

#[test]
fn units_are_what_systemd_understands() {
    if !peer::available("systemd-analyze", "systemd") {
        return;
    }
    let site = Site::new("units");
    let scripts = repository().join("scripts/wires");
    let mut units = Vec::new();
    for entry in fs::read_dir(repository().join("packaging/systemd")).expect("it is there") {
        let path = entry.expect("readable").path();
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        // Where our scripts are here, and users that every system has.
        let text = fs::read_to_string(&path)
            .expect("readable")
            .replace("/usr/lib/sitewire", &scripts.display().to_string())
            .replace("/usr/bin/agentpoll", "/bin/true")
            .replace("/usr/bin/agentd", "/bin/true")
            .replace("User=sitewire-agent", "User=daemon")
            .replace("User=sitewire", "User=daemon")
            .replace("User=nagios", "User=daemon");
        let name = name.replace("@.", "@remote1.");
        units.push(site.write(PathBuf::from("units").join(name), text));
    }
    assert!(units.len() >= 7, "{units:?}");
    let verified = Program::foreign("systemd-analyze", "systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&units)
        .run();
    assert!(verified.errors().is_empty(), "{}", verified.errors());
    assert_eq!(verified.code(), Some(0));
    for unit in units
        .iter()
        .filter(|unit| unit.extension().is_some_and(|e| e == "service"))
    {
        // What starts set-id programs cannot be fenced in as well: see the unit.
        let name = unit.to_string_lossy();
        let runs_plugins = ["sitewire-agent.", "sitewire-agent-"]
            .iter()
            .any(|agent| name.contains(agent));
        let threshold = if runs_plugins { 85 } else { 25 };
        Program::foreign("systemd-analyze", "systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={threshold}"))
            .arg(unit)
            .run()
            .success();
    }
}

/// A directory that sshd would lock somebody into: every part of its path is
/// root's.
fn jail() -> tempfile::TempDir {
    let above = if peer::is_root() { "/run" } else { "/tmp" };
    let jail = tempfile::Builder::new()
        .prefix("sw-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(above)
        .expect("cannot make a directory");
    fs::create_dir(jail.path().join("in")).expect("cannot make a directory");
    jail
}

/// The example for sshd, with this test's user in the place of a site's.
fn inbox_server(jail: &Path) -> Option<Sshd> {
    let example = repository().join("packaging/examples/sshd-inbox.conf");
    let example = fs::read_to_string(example).expect("it is there");
    let lines: Vec<_> = example
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        // The key's file is the harness' own.
        .filter(|line| !line.starts_with("AuthorizedKeysFile"))
        .filter(|line| peer::is_root() || !line.starts_with("ChrootDirectory"))
        .collect();
    let jailed = jail.display().to_string();
    let mut lines = lines
        .join("\n")
        .replace("Match Group sitewire-inbox", "Match all")
        .replace("/var/spool/sitewire/inbox/%u", &jailed);
    if !peer::is_root() {
        lines = lines.replace("-d /in", &format!("-d {jailed}/in"));
    }
    assert!(lines.contains("internal-sftp"), "{lines}");
    Sshd::start_with(&lines)
}

#[test]
fn what_is_copied_into_an_inbox_is_taken_whole_and_the_key_can_do_nothing_else() {
    let jail = jail();
    let Some(sshd) = inbox_server(jail.path()) else {
        return;
    };
    let remote = remote_site::start();
    let centre = Centre::start();
    let inbox = jail.path().join("in");
    let from = remote.live("remote1");
    let dump = format!("cmcdump -C --site remote1 -s {}", from.display());
    // As the crontab of the centre has it, at another place.
    let crontab = fs::read_to_string(script("crontab.central")).expect("it is there");
    let jobs = jobs(&crontab);
    assert_eq!(jobs.len(), 2);
    let options = centre.options.display().to_string();
    let [take, reload] = [0, 1].map(|job: usize| {
        jobs[job]
            .replace(
                "receive customer17",
                &format!("receive --config {options} remote1"),
            )
            .replace(
                "/var/spool/sitewire/inbox/customer17/in",
                &inbox.display().to_string(),
            )
    });
    let unit = unit_line("sitewire-inbox@.service", "ExecStart=");
    assert!(
        jobs[0].starts_with(&here(&unit).replace("%i", "customer17")),
        "{unit}"
    );
    let unit = unit_line("sitewire-reload@.service", "ExecStart=");
    assert_eq!(jobs[1], here(&unit).replace("%i", "customer17"));

    let put = script("put-dump");
    let in_it = if peer::is_root() { "/in" } else { "." };
    sshd.bash(&format!(
        "set -o pipefail; {dump} | {} localhost {in_it}",
        put.display()
    ))
    .run()
    .success();
    sshd.bash(&format!(
        "{dump} > {0}/new.mk && scp -q {0}/new.mk localhost:",
        remote.site.path("tmp").display()
    ))
    .run()
    .success();
    assert_eq!(files(&inbox).len(), 2);
    sshd.bash(&take).run().success();
    sshd.bash(&reload).run().success();
    centre.wait_for_services();
    assert_eq!(files(&inbox).len(), 0);
    assert_eq!(files(&inbox.join("done")).len(), 2);

    // Half a file stays until it is whole.
    let whole = remote.site.read("tmp/new.mk");
    let half = remote.site.write("tmp/half.mk", &whole[..whole.len() / 2]);
    sshd.bash(&format!("scp -q {} localhost:", half.display()))
        .run()
        .success();
    sshd.bash(&take).run().success();
    assert_eq!(files(&inbox), ["half.mk"]);

    let owned = remote.site.path("owned");
    for line in [
        "ssh localhost id".to_owned(),
        "ssh localhost -W 127.0.0.1:22 < /dev/null".to_owned(),
        "ssh -o ExitOnForwardFailure=yes -R 0:127.0.0.1:22 localhost true".to_owned(),
        format!("scp -q localhost:half.mk {}", owned.display()),
        "echo ls | sftp -b - localhost".to_owned(),
        "echo rm half.mk | sftp -b - localhost".to_owned(),
        "echo mkdir x | sftp -b - localhost".to_owned(),
        "echo symlink /etc/passwd x | sftp -b - localhost".to_owned(),
        format!("echo put {} done/x | sftp -b - localhost", half.display())
            .replace("done/x", "/etc/sitewire-was-here"),
    ] {
        let outcome = sshd.bash(&line).run();
        let said = outcome.text() + &outcome.errors();
        // sftp does not count a listing that was denied as a failure.
        let denied = said.contains("Permission denied");
        assert!(denied || outcome.code() != Some(0), "{line}: {said}");
        assert!(
            !said.contains("uid=") && !said.contains("OpenSSH_"),
            "{line}: {said}"
        );
    }
    // scp makes the file before it is told that it may not read the other.
    assert!(fs::read(&owned).is_ok_and(|read| read.is_empty()) || !owned.exists());
    assert!(!Path::new("/etc/sitewire-was-here").exists());
    assert_eq!(files(&inbox), ["half.mk"]);
}

/// Names of the files in a directory that do not begin with a dot.
fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("it is there")
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.file_type().expect("readable").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[test]
fn a_mail_is_taken_if_its_dump_is_signed_and_only_once() {
    if !peer::available("zstd", "zstd") {
        return;
    }
    let remote = remote_site::start();
    let centre = Centre::start();
    let authority = Authority::new(&["remote1", "remote2"]);
    let keys = authority.directory().display().to_string();
    let ca = format!("{keys}/ca.crt");
    let mail = |site: &str, more: &str| {
        let script = format!(
            "set -o pipefail; cmcdump -C --site {site} -s {} --sign-key {keys}/{site}.key \
             --sign-certificate {keys}/{site}.crt {more} | {} --from a@example.org --to b@example.org",
            remote.live("remote1").display(),
            script("dump-mail").display()
        );
        Program::bash(&script).run().success().stdout
    };
    let take = |mail: &[u8]| {
        let script = format!(
            "{} remote1 --mail --require-signature {ca}",
            centre.receive()
        );
        Program::bash(&script).input(mail).run()
    };
    let refused = |mail: &[u8], why: &str| {
        let outcome = take(mail);
        assert_ne!(outcome.code(), Some(0), "{why}");
        assert!(outcome.errors().contains(why), "{why}: {outcome:?}");
    };
    let unsigned = Program::bash(&format!(
        "set -o pipefail; cmcdump -C --site remote1 -s {} | {} --from a@example.org --to b@example.org",
        remote.live("remote1").display(),
        script("dump-mail").display()
    ))
    .run()
    .success()
    .stdout;
    refused(&unsigned, "not signed");
    refused(
        &mail("remote2", ""),
        "signed by site remote2, not by site remote1",
    );
    assert!(!centre.has_configuration());
    let first = mail("remote1", "| zstd -q");
    take(&first).success();
    centre.wait_for_services();
    refused(&first, "taken in already");

    // Through a maildir; whoever delivers it may add what headers it likes.
    let maildir = remote.site.path("maildir");
    fs::create_dir_all(maildir.join("new")).expect("cannot make a directory");
    let second = mail("remote1", "");
    let delivered = [b"Return-Path: <x@example.org>\n".as_slice(), &second].concat();
    fs::write(maildir.join("new/1700000000.x.host"), delivered).expect("cannot write a mail");
    fs::write(maildir.join("new/1700000001.x.host"), &unsigned).expect("cannot write a mail");
    let outcome = Program::bash(&format!(
        "{} remote1 --mail --require-signature {ca} --inbox {} --once",
        centre.receive(),
        maildir.display()
    ))
    .run();
    assert_eq!(outcome.code(), Some(1), "{outcome:?}");
    assert_eq!(files(&maildir.join("done")), ["1700000000.x.host"]);
    assert_eq!(
        files(&maildir.join("refused")),
        ["1700000001.x.host", "1700000001.x.host.reason"]
    );
    refused(&second, "taken in already");
    refused(&first, "is older than");
}
