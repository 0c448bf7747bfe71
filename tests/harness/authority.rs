//! Certificates for the daemons of a test, made by `sitecert`; and bad ones,
//! made by `openssl`.

use std::path::{Path, PathBuf};

use crate::{Program, Site};

/// A certificate and its key, both in PEM.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// An authority with a certificate for each site.
pub struct Authority {
    site: Site,
}

impl Authority {
    /// Makes an authority and certificates for `sites`.
    #[track_caller]
    pub fn new(sites: &[&str]) -> Self {
        let site = Site::new("authority");
        let sitecert = |args: &[&str]| {
            Program::new("sitecert")
                .args(args)
                .arg("--directory")
                .arg(site.path("etc"))
                .run()
                .success();
        };
        sitecert(&["init-ca"]);
        for name in sites {
            sitecert(&["issue", name]);
        }
        Self { site }
    }

    /// Where `ca.crt`, and `SITE.crt` and `SITE.key` of each site are.
    pub fn directory(&self) -> std::path::PathBuf {
        self.site.path("etc")
    }

    /// The table `[tls]` of the configuration of `site`.
    pub fn tls_table(&self, site: &str) -> String {
        let at = self.site.path("etc");
        let at = at.display();
        format!(
            "[tls]\ncertificate = \"{at}/{site}.crt\"\nkey = \"{at}/{site}.key\"\nca = \"{at}/ca.crt\"\n"
        )
    }

    /// What vouches for everything that this authority signed.
    pub fn ca(&self) -> PathBuf {
        self.site.path("etc/ca.crt")
    }

    /// What a site has.
    pub fn of(&self, site: &str) -> Credentials {
        let etc = self.site.path("etc");
        credentials(&etc, site)
    }

    /// A certificate for `site` that this authority signed, but that ended to be
    /// valid yesterday.
    #[track_caller]
    pub fn expired(&self, site: &str) -> Credentials {
        self.sign("expired", &of_site(site), -1)
    }

    /// A certificate for a server at this IP address, and of this name.
    #[track_caller]
    pub fn server(&self, address: &str) -> Credentials {
        self.sign(&format!("server-{address}"), &format!("IP:{address}"), 30)
    }

    /// A certificate that this authority signed, in files of this name.
    #[track_caller]
    fn sign(&self, file: &str, alternative_name: &str, days: i32) -> Credentials {
        let etc = self.site.path("etc");
        let signed = credentials(&etc, file);
        let request = etc.join(format!("{file}.csr"));
        new_key(&signed.key, alternative_name)
            .arg("-out")
            .arg(&request)
            .run()
            .success();
        Program::foreign("openssl", "openssl")
            .args(["x509", "-req", "-days", &days.to_string()])
            .args(["-copy_extensions", "copyall", "-in"])
            .arg(&request)
            .arg("-CA")
            .arg(self.ca())
            .arg("-CAkey")
            .arg(etc.join("ca.key"))
            .arg("-out")
            .arg(&signed.certificate)
            .run()
            .success();
        signed
    }

    /// A certificate for `site` that vouches for itself.
    #[track_caller]
    pub fn self_made(&self, site: &str) -> Credentials {
        let made = credentials(&self.site.path("etc"), "self-made");
        new_key(&made.key, &of_site(site))
            .args(["-x509", "-days", "30", "-out"])
            .arg(&made.certificate)
            .run()
            .success();
        made
    }

    /// A table `[[listen]]` of `livestatusd` on a port of TLS, with the
    /// certificate of `site` and these lines more.
    pub fn listen_table(&self, site: &str, more: &str) -> String {
        let own = self.of(site);
        format!(
            "[[listen]]\naddress = \"tls:127.0.0.1:0\"\ncertificate = \"{}\"\nkey = \"{}\"\n{more}\n",
            own.certificate.display(),
            own.key.display()
        )
    }
}

fn credentials(directory: &Path, name: &str) -> Credentials {
    Credentials {
        certificate: directory.join(format!("{name}.crt")),
        key: directory.join(format!("{name}.key")),
    }
}

/// How a certificate names a site.
fn of_site(site: &str) -> String {
    format!("URI:sitewire:site:{site}")
}

/// A request for a certificate with this alternative name.
fn new_key(key: &Path, alternative_name: &str) -> Program {
    Program::foreign("openssl", "openssl")
        .args([
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-subj", "/CN=test", "-addext"])
        .arg(format!("subjectAltName={alternative_name}"))
        .arg("-keyout")
        .arg(key)
}
