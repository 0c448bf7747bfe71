//! OpenSSH's server and client, with keys and files of their own.

use std::path::PathBuf;
use std::process::Command;

use crate::{Program, Running, Site, peer, ports, program};

/// An `sshd` that lets the user of the test in by a fresh key, and finds our
/// programs by name.
pub struct Sshd {
    process: Running,
    site: Site,
}

impl Sshd {
    /// Starts one; `None` where OpenSSH is not installed.
    #[track_caller]
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// As [`Sshd::start`], with more lines at the end of `sshd_config`.
    #[track_caller]
    pub fn start_with(more: &str) -> Option<Self> {
        if !peer::available("sshd", "openssh-server") || !peer::available("ssh", "openssh-client") {
            return None;
        }
        let site = Site::new("ssh");
        for key in ["host_key", "user_key"] {
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(site.path("etc").join(key))
                .status();
            assert!(
                status.is_ok_and(|status| status.success()),
                "ssh-keygen failed"
            );
        }
        std::fs::copy(
            site.path("etc/user_key.pub"),
            site.path("etc/authorized_keys"),
        )
        .expect("cannot copy a key");
        if peer::is_root() {
            // Where sshd locks its unprivileged part in; its init script makes it.
            std::fs::create_dir_all("/run/sshd").expect("cannot make /run/sshd");
        }
        let port = ports::free();
        let at = site.directory().display();
        let programs = program::target_directory();
        site.write(
            "etc/sshd_config",
            format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/etc/host_key\nPidFile none\n\
                 AuthorizedKeysFile {at}/etc/authorized_keys\nStrictModes no\nUsePAM no\n\
                 PermitRootLogin yes\nPasswordAuthentication no\n\
                 Subsystem sftp internal-sftp\n\
                 SetEnv PATH={}:/usr/bin:/bin\n{more}\n",
                programs.display()
            ),
        );
        site.write(
            "etc/ssh_config",
            format!(
                "Host localhost\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {at}/etc/user_key\n\
                 \x20 IdentitiesOnly yes\n  UserKnownHostsFile {at}/etc/known_hosts\n\
                 \x20 StrictHostKeyChecking accept-new\n  BatchMode yes\n  LogLevel ERROR\n"
            ),
        );
        for client in ["ssh", "scp", "sftp"] {
            let script =
                format!("#!/bin/sh\nexec /usr/bin/{client} -F {at}/etc/ssh_config \"$@\"\n");
            site.write(format!("bin/{client}"), script);
            site.make_executable(format!("bin/{client}"));
        }
        let mut process = Program::foreign(peer::find("sshd").expect("looked for above"), "sshd")
            .args(["-D", "-e", "-f"])
            .arg(site.path("etc/sshd_config"))
            .start();
        process.wait_for_line("Server listening on");
        Some(Self { process, site })
    }

    /// A directory in which `ssh`, `scp` and `sftp` are clients that know this
    /// server as `localhost`.
    pub fn client_directory(&self) -> PathBuf {
        self.site.path("bin")
    }

    /// Restricts the key to one command, whatever the client asks for.
    pub fn force_command(&self, command: &str) {
        self.authorize(&format!("restrict,command=\"{command}\" {}", self.key()));
    }

    /// The public key of the client.
    pub fn key(&self) -> String {
        String::from_utf8(self.site.read("etc/user_key.pub")).expect("a key is text")
    }

    /// Lets in whom these lines of `authorized_keys` let in.
    pub fn authorize(&self, lines: &str) {
        self.site.write("etc/authorized_keys", lines);
    }

    /// A line of shell in which `ssh localhost` reaches this server.
    #[track_caller]
    pub fn bash(&self, script: &str) -> Program {
        let client = self.client_directory();
        Program::bash(&format!("PATH={}:$PATH\n{script}", client.display()))
    }

    /// What the server said.
    pub fn log(&self) -> Vec<String> {
        self.process.log()
    }
}
