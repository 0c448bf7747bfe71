//! A real Postfix of its own, in a temporary directory and on a port of its own:
//! SMTP and `sendmail` in, maildirs of `example.org` out.
//!
//! Its master process must be root; what faces the network and writes mails runs
//! as the users that Postfix has for that.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use mail_parser::{Message, MessageParser};

use crate::{Credentials, Program, Running, Site, peer, ports, wait_for, wait_until};

/// A mail server.
pub struct Postfix {
    site: Site,
    port: u16,
    master: Option<Running>,
}

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
        postfix.configure(users, tls);
        Program::foreign("postfix", "postfix")
            .arg("-c")
            .arg(postfix.directory())
            .arg("check")
            .run()
            .success();
        postfix.run();
        Some(postfix)
    }

    fn configure(&self, users: &[&str], tls: Option<&Credentials>) {
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
             smtpd_recipient_restrictions = check_recipient_access inline:{{ \
             {{{LATER} = 450 4.7.1 come back later}} }}, reject_unlisted_recipient, \
             permit_mynetworks, reject\n\
             maillog_file = /dev/stdout\n",
            mailboxes.join(", ")
        );
        if let Some(tls) = tls {
            main += &format!(
                "smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {}\n\
                 smtpd_tls_key_file = {}\n",
                tls.certificate.display(),
                tls.key.display()
            );
        }
        self.site.write("etc/main.cf", main);
        let entrance = format!("127.0.0.1:{} inet n - n - - smtpd\n", self.port);
        self.site.write("etc/master.cf", entrance + MASTER);
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
