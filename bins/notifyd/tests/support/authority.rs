//! Certificates for sites.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
};

use super::Site;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// The lines of a configuration that say where a site's certificates are.
pub(crate) const TLS: &str =
    "[tls]\ncertificate = '@site.crt'\nkey = '@site.key'\nca = '@ca.crt'\ncrl = '@ca.crl'\n";

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    /// Gives a site all that [`TLS`] names.
    pub(crate) fn equip(&self, site: &Site, serial: u64) {
        self.equip_until(site, serial, (2100, 1, 1));
    }

    pub(crate) fn equip_until(&self, site: &Site, serial: u64, (y, m, d): (i32, u8, u8)) {
        let mut params = CertificateParams::default();
        let uri = format!("sitewire:site:{}", site.name).try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = rcgen::date_time_ymd(y, m, d);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        replace(site, "site.key", &key.serialize_pem());
        replace(site, "site.crt", &certificate.pem());
        replace(site, "ca.crt", &self.certificate);
        self.revoke(site, &[]);
    }

    /// Gives a site a list of those that are no longer believed.
    pub(crate) fn revoke(&self, site: &Site, serials: &[u64]) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2126, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).unwrap();
        replace(site, "ca.crl", &list.pem().unwrap());
    }
}

/// What others pin who know a site by the key of its certificate.
pub(crate) fn pin(site: &Site) -> String {
    let text = fs::read_to_string(site.path("site.crt")).unwrap();
    let certificate = authority::Certificate::first_in(&text).unwrap();
    certificate.pin.pin()
}

pub(crate) fn replace(site: &Site, name: &str, text: &str) {
    let aside = site.path(&format!("{name}.new"));
    fs::write(&aside, text).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(aside, site.path(name)).unwrap();
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
