//! How agents come to TLS, and that nobody leads agentpoll back from it.

use std::path::{Path, PathBuf};

use harness::agents::{Manner, answer_with, document};
use harness::{Agents, Program, Running, Site, peer, wait_until};

/// A place for agentpoll, its authority and an agent.
pub(crate) struct Field {
    pub(crate) site: Site,
    pub(crate) port: u16,
}

impl Field {
    pub(crate) fn new() -> Self {
        let site = Site::new("tls");
        let field = Self {
            site,
            port: harness::ports::free(),
        };
        let directory = field.site.path("etc/agents");
        let init = Program::new("sitecert").args(["init-ca", "--directory"]);
        init.arg(directory).run().success();
        std::fs::create_dir(field.site.path("var/agent")).unwrap();
        field
    }

    /// An authority as openITCOCKPIT's: RSA, and no word of what its key is for.
    fn with_their_authority(self) -> Self {
        let at = self.site.path("etc/agents");
        std::fs::remove_file(at.join("ca.key")).unwrap();
        authority(&at, "ca");
        self
    }

    /// Configuration with the host web1, and these lines more for it.
    pub(crate) fn configure(&self, signing: &str, host: &str) -> PathBuf {
        let at = self.site.directory().display();
        let port = self.port;
        self.site.write(
            "etc/agentpoll.toml",
            format!(
                "[state]\ndirectory = \"{at}/var/state\"\n[poll]\ninterval = \"5s\"\n\
                 [authority]\ndirectory = \"{at}/etc/agents\"\n{signing}\n\
                 [[output]]\nkind = \"json\"\nfile = \"{at}/var/results.json\"\n\
                 [[host]]\nname = \"web1\"\naddress = \"127.0.0.1\"\nport = {port}\n{host}\n"
            ),
        )
    }

    fn once(&self) -> harness::Outcome {
        Program::new("agentpoll")
            .args(["once", "-n", "web1", "-c"])
            .arg(self.site.path("etc/agentpoll.toml"))
            .run()
    }

    /// The agent that behaves as the original.
    pub(crate) fn original(&self, more: &[&str]) -> Option<Running> {
        let script = harness::program::repository().join("tests/fixtures/agent/original.py");
        if !peer::available("python3", "python3") || !peer::available("openssl", "openssl") {
            return None;
        }
        let mut agent = Program::foreign("python3", "original")
            .arg(script)
            .arg(self.site.path("var/agent"))
            .arg(self.port.to_string())
            .args(more)
            .start();
        agent.wait_for_line("serving");
        Some(agent)
    }

    fn agent_file(&self, name: &str) -> PathBuf {
        self.site.path("var/agent").join(name)
    }

    pub(crate) fn serial(&self) -> String {
        openssl(
            &["x509", "-noout", "-serial", "-in"],
            &self.agent_file("agent.crt"),
        )
    }
}

fn openssl(args: &[&str], file: &Path) -> String {
    let run = Program::foreign("openssl", "openssl")
        .args(args)
        .arg(file)
        .run();
    run.success().text()
}

/// A self-signed authority: `NAME.crt`, `NAME.key`.
pub(crate) fn authority(directory: &Path, name: &str) {
    Program::foreign("openssl", "openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ])
        .args(["-subj", "/CN=1.agentserver.oitc", "-keyout"])
        .arg(directory.join(format!("{name}.key")))
        .arg("-out")
        .arg(directory.join(format!("{name}.crt")))
        .run()
        .success();
}

#[test]
fn an_agent_as_the_original_gets_a_certificate_and_is_never_asked_in_plain_text_again() {
    let field = Field::new();
    for (name, more) in [("TLS 1.3", &[][..]), ("TLS 1.2", &["--tls12"])] {
        let _ = std::fs::remove_dir_all(field.site.path("var/state"));
        for file in ["agent.crt", "server_ca.crt"] {
            let _ = std::fs::remove_file(field.agent_file(file));
        }
        field.configure("", "");
        let Some(mut agent) = field.original(more) else {
            return;
        };
        let first = field.once().success().text();
        assert!(first.contains("web1;Memory;0;"), "{name}: {first}");
        agent.wait_for_line("serving HTTPS");
        let leaf = openssl(
            &["x509", "-noout", "-text", "-in"],
            &field.agent_file("agent.crt"),
        );
        assert!(leaf.contains("URI:sitewire:agent:web1"), "{leaf}");
        // An agent's certificate opens no other agent.
        assert!(leaf.contains("TLS Web Server Authentication"), "{leaf}");
        assert!(!leaf.contains("TLS Web Client Authentication"), "{leaf}");
        field.once().success();

        // Somebody puts a plain agent in its place, or the configuration says so.
        drop(agent);
        std::fs::rename(field.agent_file("agent.crt"), field.agent_file("old.crt")).unwrap();
        let agent = field.original(more).unwrap();
        for host in ["", "tls = \"off\"", "tls = \"certificate\""] {
            field.configure("", host);
            let refused = field.once().expect(75).errors();
            assert!(
                refused.contains("TLS with") || refused.contains("has spoken TLS"),
                "{name} {host}: {refused}"
            );
        }
        assert!(!field.agent_file("agent.crt").exists());
        // Until somebody who may says that it is another one.
        field.configure("", "");
        Program::new("agentpoll")
            .args(["forget", "web1", "-c"])
            .arg(field.site.path("etc/agentpoll.toml"))
            .run()
            .success();
        field.once().success();
        drop(agent);
    }
}

#[test]
fn the_authority_itself_is_shown_where_the_configuration_says_so() {
    if !peer::available("openssl", "openssl") {
        return;
    }
    let field = Field::new().with_their_authority();
    field.configure("client = \"authority\"", "");
    let Some(_agent) = field.original(&[]) else {
        return;
    };
    field.once().success();
    field.once().success();
    assert!(!field.site.path("var/state/client.crt").exists());
}

#[test]
fn a_certificate_of_version_1_from_another_server_is_believed_where_that_is_said() {
    if !peer::available("openssl", "openssl") {
        return;
    }
    let field = Field::new();
    let theirs = field.site.path("var/agent");
    authority(&theirs, "server_ca");
    let at = |name: &str| theirs.join(name);
    Program::foreign("openssl", "openssl")
        .args([
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=subject",
            "-keyout",
        ])
        .arg(at("agent.key"))
        .arg("-out")
        .arg(at("agent.csr"))
        .run()
        .success();
    Program::foreign("openssl", "openssl")
        .args(["x509", "-req", "-days", "30", "-sha512", "-in"])
        .arg(at("agent.csr"))
        .arg("-CA")
        .arg(at("server_ca.crt"))
        .arg("-CAkey")
        .arg(at("server_ca.key"))
        .arg("-out")
        .arg(at("agent.crt"))
        .run()
        .success();
    // The agent believes their authority only, so that is what it must be shown.
    let agents = field.site.path("etc/agents");
    let ours = field.site.path("etc/ours");
    std::fs::create_dir(&ours).unwrap();
    for name in ["ca.crt", "ca.key"] {
        std::fs::rename(agents.join(name), ours.join(name)).unwrap();
        let theirs = at(&name.replace("ca", "server_ca"));
        std::fs::copy(theirs, agents.join(name)).unwrap();
    }
    let shown = "client = \"authority\"";
    for more in [&[][..], &["--tls12"]] {
        let Some(_agent) = field.original(more) else {
            return;
        };
        for (host, reason) in [
            // It names no host.
            ("", Some("NotValidForName")),
            ("believe = \"authority\"", None),
            ("believe = \"anyone\"", None),
            (
                "believe = \"authority\"\nca = \"OURS\"",
                Some("UnknownIssuer"),
            ),
        ] {
            let ca = ours.join("ca.crt").display().to_string();
            let host = format!("tls = \"certificate\"\n{}", host.replace("OURS", &ca));
            field.configure(shown, &host);
            match reason {
                None => {
                    field.once().success();
                }
                Some(reason) => {
                    let errors = field.once().expect(75).errors();
                    assert!(errors.contains(reason), "{host}: {errors}");
                }
            }
        }
    }
}

#[test]
fn a_certificate_that_runs_out_is_renewed_over_the_connection_that_there_is() {
    if !peer::available("openssl", "openssl") {
        return;
    }
    let field = Field::new();
    let config = field.configure("", "");
    let agent = field.site.path("var/agent");
    let ca = field.site.path("etc/agents");
    certificate(&agent, &ca, "+1 hour");
    let Some(mut original) = field.original(&[]) else {
        return;
    };
    let old = field.serial();
    let mut poll = Program::new("agentpoll")
        .args(["run", "-c"])
        .arg(config)
        .start();
    poll.wait_for_line("web1: the agent has a certificate of ours");
    assert_ne!(field.serial(), old);
    original.wait_for_line("serving HTTPS");
    let renewed = || std::fs::read_dir(ca.join("issued")).unwrap().count();
    // Ours and the agent's; the new one is not due.
    assert_eq!(renewed(), 2);
    let results =
        || std::fs::read_to_string(field.site.path("var/results.json")).unwrap_or_default();
    let before = results().len();
    wait_until("it goes on", || results().len() > before);
    assert_eq!(renewed(), 2);
}

/// A certificate for web1 until this time, as `date` reads it.
pub(crate) fn certificate(agent: &Path, ca: &Path, until: &str) {
    let at = agent.display();
    let ca = ca.display();
    let script = format!(
        "cd {at} && touch index.txt && cp {ca}/ca.crt server_ca.crt &&
         printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\ncertificate={ca}/ca.crt\n\
private_key={ca}/ca.key\ndefault_md=sha256\npolicy=p\nrand_serial=yes\n[p]\ncommonName=supplied\n' > ca.cnf &&
         echo 'subjectAltName=URI:sitewire:agent:web1' > ext.cnf &&
         openssl req -newkey rsa:2048 -nodes -subj /CN=subject -keyout agent.key -out agent.csr &&
         openssl ca -batch -notext -config ca.cnf -in agent.csr -out agent.crt -extfile ext.cnf \
             -startdate 20200101000000Z -enddate $(date -u -d '{until}' +%Y%m%d%H%M%SZ)"
    );
    Program::bash(&script).run().success();
}

#[test]
fn what_is_no_request_for_a_certificate_is_not_signed() {
    let field = Field::new();
    for (name, answer) in [
        ("no JSON", "junk".to_owned()),
        ("no request", "{}".to_owned()),
        ("junk in PEM", r#"{"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"}"#.to_owned()),
        ("too long", format!(r#"{{"csr": "{}"}}"#, "A".repeat(100_000))),
    ] {
        let agents = Agents::start(move |_, head| match head.starts_with("GET /autotls ") {
            true => Manner::Bytes(answer_with("200 OK", &answer)),
            false => Manner::Document(document(0, 1)),
        });
        field.configure("", &format!("# {name}"));
        let text = std::fs::read_to_string(field.site.path("etc/agentpoll.toml")).unwrap();
        let text = text.replace(
            &format!("\"127.0.0.1\"\nport = {}", field.port),
            &format!("\"{}\"\nport = {}", Agents::address(0), agents.port()),
        );
        field.site.write("etc/agentpoll.toml", text);
        let errors = field.once().expect(75).errors();
        assert!(errors.contains("request"), "{name}: {errors}");
        let issued = std::fs::read_dir(field.site.path("etc/agents/issued")).unwrap();
        // The one that agentpoll shows.
        assert_eq!(issued.count(), 1, "{name}");
        assert!(!field.site.path("var/state/hosts/web1.json").exists(), "{name}");
    }
}

#[test]
fn agentd_gets_its_certificate_from_agentpoll_with_a_token() {
    let field = Field::new();
    let at = field.site.directory().display();
    let config = field.site.write(
        "var/agent/config.ini",
        format!(
            "[default]\naddress = 127.0.0.1\nport = {}\ntry-autossl = True\n\
             tls-security-level = modern\ninterval = 1\n\
             autossl-csr-file = {at}/var/agent/agent.csr\nautossl-crt-file = {at}/var/agent/agent.crt\n\
             autossl-key-file = {at}/var/agent/agent.key\nautossl-ca-file = {at}/var/agent/server_ca.crt\n\
             customchecks = {at}/var/agent/customchecks.ini\n\
             [sitewire]\nautossl-token = 0123456789abcdef\n",
            field.port
        ),
    );
    let mut agent = Program::new("agentd")
        .args(["-v", "--disable-logfile", "-c"])
        .arg(config)
        .start();
    agent.wait_for_line("listening on");
    let good = field.site.write_secret("etc/token", "0123456789abcdef\n");
    let bad = field.site.write_secret("etc/wrong", "0123456789abcdex\n");
    field.configure("", &format!("token_file = \"{}\"", bad.display()));
    field.once().expect(75);
    assert!(!field.agent_file("agent.crt").exists());
    field.configure("", &format!("token_file = \"{}\"", good.display()));
    let mut text = String::new();
    wait_until("the agent has a document", || {
        let once = field.once();
        text = once.text();
        once.code() == Some(0)
    });
    assert!(text.contains("web1;Memory;"), "{text}");
    let leaf = openssl(
        &["x509", "-noout", "-text", "-in"],
        &field.agent_file("agent.crt"),
    );
    assert!(leaf.contains("URI:sitewire:agent:web1"), "{leaf}");
    // Now it wants TLS and a certificate, which strangers have not.
    let url = format!("https://127.0.0.1:{}", field.port);
    let stranger = Program::new("agentpoll").args(["once", "-n", &url]).run();
    stranger.expect(75);
}
