//! A real Postfix of its own, in a temporary directory and on a port of its own:
//! SMTP and `sendmail` in, maildirs of `example.org` out.
//!
//! Its master process must be root; what faces the network and writes mails runs
//! as the users that Postfix has for that.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use mail_parser::{Message, MessageParser};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Credentials, Program, Running, Site, peer, ports, wait_for, wait_until};

/// A mail server.
pub struct Postfix {
    site: Site,
    port: u16,
    master: Option<Running>,
}

/// What a mail server is like.
#[derive(Debug, Default)]
pub struct Manner<'a> {
    /// Its certificate; without one it offers no TLS, with one it insists on it.
    pub tls: Option<&'a Credentials>,
    /// TLS from the first byte.
    pub is_wrapped: bool,
    /// Who may send mails, and the password; without any everybody may.
    pub account: Option<(&'a str, &'a str)>,
    /// By which SASL mechanisms, such as `PLAIN LOGIN`.
    pub mechanisms: &'a str,
    /// More lines of `main.cf`, which count more than what stands there.
    pub more: &'a str,
}

/// Whom it takes mails for and from, in `smtpd_recipient_restrictions`.
pub const RESTRICTIONS: &str = "check_recipient_access inline:{ \
    {later@example.org = 450 4.7.1 come back later} }, reject_unlisted_recipient, \
    permit_mynetworks, reject";

/// Where Debian has the programs that Postfix consists of.
const DAEMONS: &str = "/usr/lib/postfix/sbin";
/// Who writes into the maildirs: nobody.
const WRITER: &str = "65534";

/// Nobody: mails for this one are refused for good.
pub const UNKNOWN: &str = "unknown@example.org";
/// The server is never ready to take mail for this one.
pub const LATER: &str = "later@example.org";

/// The services of a Postfix that delivers to maildirs and to nobody else.
const MASTER: &str = "\
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
";

impl Postfix {
    /// One that takes mails for these users of `example.org`, and offers TLS where
    /// it has a certificate. `None` where Postfix is not installed, or cannot run
    /// because the tests are not root's.
    #[track_caller]
    pub fn start(users: &[&str], tls: Option<&Credentials>) -> Option<Self> {
        Self::start_with(
            users,
            &Manner {
                tls,
                ..Manner::default()
            },
        )
    }

    /// One that is as it is said.
    #[track_caller]
    pub fn start_with(users: &[&str], manner: &Manner<'_>) -> Option<Self> {
        if !peer::available("postfix", "postfix") || !peer::needs_root("Postfix") {
            return None;
        }
        let mut postfix = Self {
            site: Site::new("mail"),
            port: ports::free(),
            master: None,
        };
        for directory in ["var/spool", "var/data", "mail"] {
            fs::create_dir_all(postfix.site.path(directory)).expect("own directory");
        }
        peer::give(&postfix.site.path("var/data"), "postfix:");
        peer::give(&postfix.site.path("mail"), &format!("{WRITER}:{WRITER}"));
        postfix.configure(users, manner);
        if let Some((user, password)) = manner.account {
            postfix.add_account(user, password, manner.mechanisms);
        }
        Program::foreign("postfix", "postfix")
            .arg("-c")
            .arg(postfix.directory())
            .arg("check")
            .run()
            .success();
        postfix.run();
        Some(postfix)
    }

    fn configure(&self, users: &[&str], manner: &Manner<'_>) {
        let at = self.site.directory().display();
        let mailboxes: Vec<String> = users
            .iter()
            .map(|user| format!("{{{user}@example.org={user}/}}"))
            .collect();
        let mut main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {at}/var/spool\n\
             data_directory = {at}/var/data\n\
             command_directory = /usr/sbin\n\
             daemon_directory = {DAEMONS}\n\
             mail_owner = postfix\n\
             setgid_group = postdrop\n\
             myhostname = mail.example.org\n\
             mydestination =\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\n\
             alias_maps =\n\
             alias_database =\n\
             biff = no\n\
             default_transport = error:this server sends nothing to others\n\
             relay_transport = error:this server sends nothing to others\n\
             virtual_mailbox_domains = example.org\n\
             virtual_mailbox_base = {at}/mail\n\
             virtual_mailbox_maps = inline:{{ {} }}\n\
             virtual_uid_maps = static:{WRITER}\n\
             virtual_gid_maps = static:{WRITER}\n\
             smtpd_recipient_restrictions = {RESTRICTIONS}\n\
             maillog_file = /dev/stdout\n",
            mailboxes.join(", ")
        );
        if let Some(tls) = manner.tls {
            main += &format!(
                "smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {}\n\
                 smtpd_tls_key_file = {}\n",
                tls.certificate.display(),
                tls.key.display()
            );
        }
        if manner.account.is_some() {
            main += &format!(
                "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_path = smtpd\n\
                 cyrus_sasl_config_path = {at}/etc/sasl\n\
                 smtpd_sasl_authenticated_header = yes\nsmtpd_tls_auth_only = yes\n\
                 smtpd_recipient_restrictions = reject_unlisted_recipient, \
                 permit_sasl_authenticated, reject\n"
            );
        }
        main += manner.more;
        self.site.write("etc/main.cf", main);
        let wrapped = if manner.is_wrapped { "yes" } else { "no" };
        let entrance = format!(
            "127.0.0.1:{} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode={wrapped}\n",
            self.port
        );
        self.site.write("etc/master.cf", entrance + MASTER);
    }

    /// Passwords stand in a database of their own, which Postfix reads by Cyrus SASL.
    fn add_account(&self, user: &str, password: &str, mechanisms: &str) {
        let database = self.site.path("etc/sasl/sasldb2");
        self.site.write(
            "etc/sasl/smtpd.conf",
            format!(
                "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\n\
                 mech_list: {mechanisms}\n",
                database.display()
            ),
        );
        let (name, realm) = user.split_once('@').expect("a name with its realm");
        Program::foreign("saslpasswd2", "saslpasswd2")
            .args(["-p", "-c", "-u", realm, "-f"])
            .arg(&database)
            .arg(name)
            .input(password)
            .run()
            .success();
        peer::give(&database, "postfix:");
    }

    /// Changes a setting of a server that is stopped.
    pub fn set(&self, setting: &str) {
        let mut main = String::from_utf8(self.site.read("etc/main.cf")).expect("text");
        main += &format!("{setting}\n");
        self.site.write("etc/main.cf", main);
    }

    /// The process that has all others as its children.
    pub fn pid(&self) -> u32 {
        self.master.as_ref().map_or(0, Running::pid)
    }

    /// Runs it, after [`Postfix::stop`] again.
    #[track_caller]
    pub fn run(&mut self) {
        let master = Program::foreign(format!("{DAEMONS}/master"), "postfix")
            .arg("-c")
            .arg(self.directory())
            // In the foreground, and in the process group that is killed at the end.
            .arg("-d")
            .with_family()
            .start();
        self.master = Some(master);
        wait_until("Postfix listens", || {
            let master = self.master.as_mut().expect("started above");
            assert!(master.is_running(), "Postfix has ended");
            TcpStream::connect(self.address()).is_ok()
        });
    }

    /// Ends it; its mails and its queue stay.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(master) = self.master.take() {
            master.terminate();
        }
    }

    /// Where it takes mails: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port of it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its configuration, for `MAIL_CONFIG` in the environment of
    /// `sendmail`.
    pub fn directory(&self) -> PathBuf {
        self.site.path("etc")
    }

    /// What it has logged.
    pub fn log(&self) -> Vec<String> {
        self.master.as_ref().map(Running::log).unwrap_or_default()
    }

    /// The mails of a user as a mail program reads them.
    pub fn mails(&self, user: &str) -> Vec<Message<'static>> {
        let directory = self.site.path("mail").join(user).join("new");
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).expect("delivered whole");
            let parsed = MessageParser::default().parse(&bytes);
            parsed.expect("a mail").into_owned()
        };
        paths.into_iter().map(read).collect()
    }

    /// Waits until a mail of `user` has this in its subject.
    #[track_caller]
    pub fn wait_for_mail(&self, user: &str, subject: &str) -> Message<'static> {
        wait_for(
            &format!("a mail to {user} with {subject:?} in its subject"),
            || {
                let is_it = |mail: &Message<'_>| mail.subject().unwrap_or("").contains(subject);
                self.mails(user).into_iter().find(is_it)
            },
        )
    }
}

/// Kills all that is called `name` among the children of the process `parent`.
pub fn kill_children(parent: u32, name: &str) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `PID (NAME) STATE PARENT …`
        let Some((before, after)) = stat.rsplit_once(") ") else {
            continue;
        };
        let is_child = after.split(' ').nth(1) == Some(&parent.to_string());
        let Some((pid, found)) = before.split_once(" (").filter(|_| is_child) else {
            continue;
        };
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| found == name) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
