//! Files and mails put into an inbox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

struct Inbox {
    directory: TempDir,
}

impl Inbox {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for part in ["conf.d", "inbox/new"] {
            fs::create_dir_all(directory.path().join(part)).unwrap();
        }
        Self { directory }
    }

    fn path(&self, part: &str) -> PathBuf {
        self.directory.path().join(part)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path("inbox").join(name), content).unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let at = self.directory.path().display();
        let mut command = Command::new(env!("CARGO_BIN_EXE_liveload"));
        command
            .args(["--site", "a", "--inbox"])
            .arg(self.path("inbox"))
            .arg("--ledger")
            .arg(self.path("ledger"))
            .arg("--config-dir")
            .arg(self.path("conf.d"))
            // The order of what came, as the core saw it.
            .args([
                "--check-command",
                &format!("grep -o ' h[0-9]*$' {at}/conf.d/*.cfg | tr '\\n' ' ' >> {at}/seen"),
            ])
            .args(more)
            .stdin(Stdio::null());
        command
    }

    fn once(&self, more: &[&str]) -> Output {
        self.command(&[&["--once"], more].concat())
            .output()
            .unwrap()
    }

    fn names(&self, part: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path("inbox").join(part))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != ".sitewire.lock")
            .collect();
        names.sort();
        names
    }

    fn reason(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("inbox/refused/{name}.reason"))).unwrap()
    }
}

#[track_caller]
fn expect(output: &Output, code: i32) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
}

/// A configuration of one host, named after its number.
fn dump(sequence: u64) -> String {
    let body = format!(
        "define host {{\n  use  livedump-host\n  host_name  h{sequence}\n  address  10.0.0.1\n}}\n"
    );
    format!(
        "# sitewire 1 config site=a seq={sequence} epoch=1 mode=full time=1795217983\n{body}\
         # sitewire-end records=1 crc32c={:08x}\n",
        crc32c::crc32c(body.as_bytes())
    )
}

#[test]
fn files_are_taken_in_the_order_of_their_dumps_whatever_their_names() {
    let inbox = Inbox::new();
    inbox.put("a", dump(3));
    inbox.put("b", dump(1));
    inbox.put("c", dump(2));
    expect(&inbox.once(&["--allow-shrink"]), 0);
    assert_eq!(inbox.names("done"), ["a", "b", "c"]);
    assert!(inbox.names("").is_empty());
    assert!(inbox.names("refused").is_empty());
    let seen = fs::read_to_string(inbox.path("seen")).unwrap();
    assert_eq!(
        seen.split_whitespace().collect::<Vec<_>>(),
        ["h1", "h2", "h3"]
    );
    // The same file once more is no harm, an older one is refused.
    inbox.put("a", dump(3));
    inbox.put("d", dump(2));
    expect(&inbox.once(&["--allow-shrink"]), 3);
    assert_eq!(inbox.names("done"), ["a", "a.2", "b", "c"]);
    assert_eq!(inbox.names("refused"), ["d", "d.reason"]);
    assert!(inbox.reason("d").contains("is older than"));
}

#[test]
fn a_file_that_is_still_being_copied_is_left_alone() {
    let inbox = Inbox::new();
    let whole = dump(1);
    for name in [".x", "x.tmp", "x.part", "x.filepart", "x~"] {
        inbox.put(name, &whole);
    }
    for cut in [0, 1, 40, whole.len() / 2, whole.len() - 1] {
        inbox.put("x", &whole[..cut]);
        expect(&inbox.once(&[]), 0);
        assert_eq!(inbox.names("").len(), 6, "cut at {cut}");
    }
    inbox.put("x", &whole);
    expect(&inbox.once(&[]), 0);
    assert_eq!(inbox.names("done"), ["x"]);
    // Nobody goes on writing it: it says why it was not taken.
    inbox.put("y", &dump(2)[..100]);
    let output = inbox.once(&["--settle", "0s"]);
    expect(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("inbox/y: "));
    assert_eq!(inbox.names("refused"), ["y", "y.reason"]);
    assert!(inbox.reason("y").contains("end mark is missing"));
}

#[test]
fn what_is_not_a_file_is_put_aside() {
    let inbox = Inbox::new();
    fs::write(inbox.path("secret"), dump(1)).unwrap();
    symlink(inbox.path("secret"), inbox.path("inbox/link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        inbox.path("inbox/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let output = inbox.once(&["--settle", "0s"]);
    expect(&output, 1);
    assert!(inbox.reason("link").contains("inbox/link"));
    assert!(inbox.reason("pipe").contains("not an ordinary file"));
    assert!(inbox.path("secret").exists());
    assert!(
        fs::read_dir(inbox.path("conf.d")).unwrap().count() == 0
            || !inbox.path("conf.d/sitewire-a.cfg").exists()
    );
}

#[test]
fn only_so_many_old_files_are_kept() {
    let inbox = Inbox::new();
    for sequence in 1..=5 {
        inbox.put(&format!("dump{sequence}"), dump(sequence));
        expect(&inbox.once(&["--allow-shrink", "--keep", "2"]), 0);
        inbox.put(&format!("bad{sequence}"), "nothing");
        expect(&inbox.once(&["--keep", "2", "--settle", "0s"]), 1);
    }
    assert_eq!(inbox.names("done"), ["dump4", "dump5"]);
    let kept = ["bad4", "bad4.reason", "bad5", "bad5.reason"];
    assert_eq!(inbox.names("refused"), kept);
}

#[test]
fn one_process_at_a_time_takes_files() {
    let inbox = Inbox::new();
    let mut watching = inbox
        .command(&["--interval", "20ms"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    inbox.put("a", dump(1));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while inbox.path("inbox/a").exists() || !inbox.path("inbox/done/a").exists() {
        assert!(std::time::Instant::now() < deadline, "nobody took it");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let second = inbox.once(&[]);
    expect(&second, 75);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains(&format!("in use by process {}", watching.id())),
        "{said}"
    );
    watching.kill().unwrap();
    watching.wait().unwrap();
    expect(&inbox.once(&[]), 0);
}

#[test]
fn mails_of_a_maildir_are_taken_and_moved() {
    let inbox = Inbox::new();
    let mail = |body: &str| {
        format!(
            "Return-Path: <a@example.org>\nFrom: a@example.org\nTo: b@example.org\nSubject: config\n\
             MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n{body}"
        )
    };
    inbox.put("new/1.x.host", mail(&dump(2)));
    inbox.put("new/2.x.host", mail(&dump(1)));
    inbox.put("new/3.x.host", mail("I am on holiday.\n"));
    expect(
        &inbox.once(&["--mail", "--allow-shrink", "--settle", "0s"]),
        1,
    );
    assert_eq!(inbox.names("done"), ["1.x.host", "2.x.host"]);
    assert_eq!(inbox.names("refused"), ["3.x.host", "3.x.host.reason"]);
    assert!(inbox.reason("3.x.host").contains("--mode would tell"));
    let seen = fs::read_to_string(inbox.path("seen")).unwrap();
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["h1", "h2"]);
}

#[test]
fn a_mail_comes_through_a_pipe_as_well() {
    use std::io::Write;
    let inbox = Inbox::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_liveload"))
        .args(["--site", "a", "--mail", "--ledger"])
        .arg(inbox.path("ledger"))
        .arg("--config-dir")
        .arg(inbox.path("conf.d"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    write!(
        stdin,
        "From: a@example.org\r\nSubject: x\r\n\r\n{}",
        dump(1).replace('\n', "\r\n")
    )
    .unwrap();
    drop(stdin);
    expect(&child.wait_with_output().unwrap(), 0);
    assert!(inbox.path("conf.d/sitewire-a.cfg").exists());
}
