//! Certificates for the spoolers of a test, made by `sitecert`.

use crate::{Program, Site};

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
}
