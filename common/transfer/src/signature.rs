//! Dumps that are signed with the key of their site, as `sitecert` makes them:
//! for wires that carry them past others, such as mail and USB sticks.
//!
//! The last line of a signed dump is a comment, or in a dump of commands a
//! command, that every reader passes over:
//!
//! ```text
//! # sitewire-signature 1 ecdsa-p256-sha256 SIGNATURE CERTIFICATE
//! COMMAND [T] SITEWIRE_SIGNATURE;1;ecdsa-p256-sha256;SIGNATURE;CERTIFICATE
//! ```
//!
//! SIGNATURE is an ECDSA signature (ASN.1) on P-256 over the SHA-256 of all bytes
//! before this line; CERTIFICATE is the site's certificate (DER). Both are in
//! hexadecimal digits.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use bstr::ByteSlice;
use objects::{DumpBegin, SiteId, UnixTime};
use program::tls::{self, CertificateDer, PrivateKeyDer};

use crate::Error;

/// Longest line of a signature, in bytes.
const MAX_LINE: u64 = 16 * 1024;
const COMMENT: &[u8] = b"# sitewire-signature 1 ";
const COMMAND: &[u8] = b" SITEWIRE_SIGNATURE;1;";
const ALGORITHM: &[u8] = b"ecdsa-p256-sha256";

/// How the line of the signature is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a comment: in check results, object files and `.mk` files.
    Comment,
    /// As a command: in states of `cmcdump`.
    Command,
}

/// Somebody who signs: a site's certificate and its key.
pub struct Signer {
    site: SiteId,
    certificate: CertificateDer<'static>,
    key: EcdsaKeyPair,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads a certificate and its key, both PEM, and checks that they belong
    /// together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let bad = |path: &Path, what: &str| Error::BadFile {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let der = tls::read_certificates(certificate)?
            .into_iter()
            .next()
            .ok_or_else(|| bad(certificate, "has no certificate"))?;
        let site = tls::site_of(&der).and_then(|site| SiteId::new(&site).ok());
        let site = site.ok_or_else(|| bad(certificate, "is not the certificate of one site"))?;
        let key_der = tls::read_key(key)?;
        let not_p256 = |_| bad(key, "is not an ECDSA key on P-256, as sitecert makes them");
        let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = match &key_der {
            PrivateKeyDer::Pkcs8(der) => {
                EcdsaKeyPair::from_pkcs8(signing, der.secret_pkcs8_der()).map_err(not_p256)?
            }
            other => {
                EcdsaKeyPair::from_private_key_der(signing, other.secret_der()).map_err(not_p256)?
            }
        };
        let signer = Self {
            site,
            certificate: der,
            key: pair,
        };
        let digest = aws_lc_rs::digest::digest(&SHA256, b"");
        let is_pair = signer
            .sign(&digest)
            .is_ok_and(|signature| verify(&signer.certificate, &digest, &signature));
        if !is_pair {
            return Err(bad(key, "is not the key of the certificate"));
        }
        Ok(signer)
    }

    /// The site that the certificate names.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    fn sign(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let signature = self.key.sign_digest(digest);
        let signature = signature.map_err(|_| io::Error::other("the key does not sign"))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Adds up what a dump consists of, for its signature.
pub struct Sum(Context);

impl Default for Sum {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sum").finish_non_exhaustive()
    }
}

impl Sum {
    /// These bytes come next.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The line that signs all of them, with its line feed.
    pub fn sign(self, signer: &Signer, form: Form, time: UnixTime) -> io::Result<Vec<u8>> {
        let signature = signer.sign(&self.0.finish())?;
        let (signature, certificate) = (hex(&signature), hex(&signer.certificate));
        let algorithm = ALGORITHM.as_bstr();
        let line = match form {
            Form::Comment => {
                format!("# sitewire-signature 1 {algorithm} {signature} {certificate}\n")
            }
            Form::Command => format!(
                "COMMAND [{}] SITEWIRE_SIGNATURE;1;{algorithm};{signature};{certificate}\n\n",
                time.secs()
            ),
        };
        Ok(line.into_bytes())
    }
}

/// Passes a dump on, and signs it at the end.
#[derive(Debug)]
pub struct SigningWriter<W> {
    out: W,
    sum: Sum,
}

impl<W: Write> SigningWriter<W> {
    /// What is written goes on to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            sum: Sum::default(),
        }
    }

    /// Writes the line of the signature behind the dump.
    pub fn sign(mut self, signer: &Signer, form: Form, time: UnixTime) -> io::Result<W> {
        let line = self.sum.sign(signer, form, time)?;
        self.out.write_all(&line)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for SigningWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.sum.add(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whose signatures are believed.
#[derive(Debug)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    roots: tls::Roots,
}

impl Trust {
    /// Reads certificates in PEM: those of authorities that sign for sites, or
    /// those of the sites themselves.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let certificates = tls::read_certificates(path)?;
        Ok(Self {
            roots: tls::Roots::new(&certificates),
            certificates,
        })
    }

    /// Spools a dump to a file without a name in `directory`, and gives it back
    /// for reading if its last line is a signature of `site` over all of it.
    /// Nothing of the dump can be read before.
    pub fn receive(
        &self,
        mut dump: impl Read,
        site: &SiteId,
        directory: &Path,
    ) -> Result<Signed, Error> {
        let failed = |source| Error::Io {
            path: directory.to_owned(),
            source,
        };
        let mut file = tempfile::tempfile_in(directory).map_err(failed)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match dump.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Input(error)),
            };
            file.write_all(&buffer[..count]).map_err(failed)?;
        }
        let (length, line) = split_signature(&mut file).map_err(failed)?;
        let line = line.ok_or_else(|| Error::signature("the dump is not signed"))?;
        self.check(&mut file, length, &line, site)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(Signed(BufReader::with_capacity(1 << 16, file.take(length))))
    }

    fn check(&self, file: &mut File, length: u64, line: &Line, site: &SiteId) -> Result<(), Error> {
        let named = tls::site_of(&line.certificate);
        if named.as_deref() != Some(site.as_str()) {
            let whose = named.map_or("nobody".to_owned(), |name| format!("site {name}"));
            let what = format!("the dump is signed by {whose}, not by site {site}");
            return Err(Error::signature(what));
        }
        let certificate = CertificateDer::from(line.certificate.clone());
        if self.certificates.contains(&certificate) {
            tls::check_validity(&certificate).map_err(Error::signature)?;
        } else {
            self.roots.vouch_for(&certificate).map_err(|why| {
                Error::signature(format!("the certificate of the signature: {why}"))
            })?;
        }
        let digest = digest_of(file, length).map_err(Error::Input)?;
        if !verify(&line.certificate, &digest, &line.signature) {
            return Err(Error::signature(
                "the signature is not that of this dump: it was changed",
            ));
        }
        Ok(())
    }
}

/// A dump whose signature was right, without it.
#[derive(Debug)]
pub struct Signed(BufReader<io::Take<File>>);

impl Read for Signed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for Signed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

/// Whether a dump that began at that moment is young enough, and not from the
/// future: a wire that others can touch may keep dumps back, and bring them
/// again when nobody remembers them any more.
pub fn check_age(begin: &DumpBegin, now: UnixTime, max_age: Duration) -> Result<(), Error> {
    let age = now.as_secs_f64() - begin.time.as_secs_f64();
    let limit = max_age.as_secs_f64();
    if age > limit {
        let what = format!("the dump is {age:.0} s old, and {limit:.0} s are allowed");
        return Err(Error::signature(what));
    }
    if age < -limit {
        let what = format!("the dump is from {:.0} s in the future", -age);
        return Err(Error::signature(what));
    }
    Ok(())
}

/// Whether a line, with or without its line feed, is that of a signature.
pub fn is_signature(line: &[u8]) -> bool {
    strip(line).is_some()
}

struct Line {
    signature: Vec<u8>,
    certificate: Vec<u8>,
}

/// The fields behind what every line of a signature begins with, and what
/// separates them.
fn strip(line: &[u8]) -> Option<(&[u8], u8)> {
    if let Some(fields) = line.strip_prefix(COMMENT) {
        return Some((fields, b' '));
    }
    let rest = line.strip_prefix(b"COMMAND [")?;
    let (_, rest) = rest.split_once_str("]")?;
    Some((rest.strip_prefix(COMMAND)?, b';'))
}

fn parse(line: &[u8]) -> Option<Line> {
    let (fields, separator) = strip(line.trim_ascii_end())?;
    let mut fields = fields.split(|b| *b == separator);
    if fields.next()? != ALGORITHM {
        return None;
    }
    let signature = unhex(fields.next()?)?;
    let certificate = unhex(fields.next()?)?;
    fields.next().is_none().then_some(Line {
        signature,
        certificate,
    })
}

/// Looks for a signature at the end: how many bytes are before it, and what it
/// says.
fn split_signature(file: &mut File) -> io::Result<(u64, Option<Line>)> {
    let end = file.seek(SeekFrom::End(0))?;
    let start = end.saturating_sub(MAX_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(MAX_LINE).read_to_end(&mut tail)?;
    let text = tail.trim_ascii_end();
    let at = text.rfind_byte(b'\n').map_or(0, |at| at + 1);
    if at == 0 && start > 0 {
        return Ok((end, None));
    }
    Ok((start + at as u64, parse(&text[at..])))
}

fn digest_of(file: &mut File, length: u64) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut sum = Sum::default();
    let mut buffer = vec![0; 1 << 16];
    let mut file = file.take(length);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sum.0.finish()),
            count => sum.add(&buffer[..count]),
        }
    }
}

fn verify(certificate: &[u8], digest: &Digest, signature: &[u8]) -> bool {
    tls::public_key_of(certificate).is_some_and(|key| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
            .verify_digest(digest, signature)
            .is_ok()
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(*b)])
        .collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let nibble = |b: &u8| char::from(*b).to_digit(16).map(|nibble| nibble as u8);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks(2)
        .map(|pair| Some(nibble(&pair[0])? << 4 | nibble(&pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use objects::{DumpContent, DumpMode};
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        SanType,
    };

    use super::*;

    /// An authority and what it signed, as files.
    struct Authority {
        directory: tempfile::TempDir,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            let ca = params.self_signed(&key).unwrap();
            let own = Self {
                directory,
                issuer: Issuer::new(params, key),
            };
            own.put("ca.crt", &ca.pem());
            own
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn issue(&self, site: &str, change: impl FnOnce(&mut CertificateParams)) -> Signer {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            let uri = format!("sitewire:site:{site}");
            params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(&mut params);
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            let certificate = self.put(&format!("{site}.crt"), &certificate.pem());
            let key = self.put(&format!("{site}.key"), &key.serialize_pem());
            Signer::load(&certificate, &key).unwrap()
        }

        fn trust(&self, file: &str) -> Trust {
            Trust::load(&self.path(file)).unwrap()
        }
    }

    fn site(name: &str) -> SiteId {
        SiteId::new(name).unwrap()
    }

    const DUMP: &[u8] = b"COMMAND [7] SITEWIRE_BEGIN;...\n\nCOMMAND [7] SITEWIRE_END;1\n\n";

    fn sign(signer: &Signer, form: Form) -> Vec<u8> {
        let mut writer = SigningWriter::new(Vec::new());
        writer.write_all(DUMP).unwrap();
        writer.sign(signer, form, UnixTime::from_secs(7)).unwrap()
    }

    fn receive(trust: &Trust, dump: &[u8], name: &str) -> Result<Vec<u8>, String> {
        let mut signed = trust
            .receive(dump, &site(name), &std::env::temp_dir())
            .map_err(|error| program::exit::chain(&error))?;
        let mut out = Vec::new();
        signed.read_to_end(&mut out).unwrap();
        Ok(out)
    }

    #[test]
    fn a_dump_signed_by_its_site_is_given_back_without_the_signature() {
        let authority = Authority::new();
        let signer = authority.issue("berlin", |_| {});
        assert_eq!(signer.site().as_str(), "berlin");
        for form in [Form::Comment, Form::Command] {
            let signed = sign(&signer, form);
            assert!(signed.starts_with(DUMP) && is_signature(&signed[DUMP.len()..]));
            // Its authority, or the site's own certificate.
            for file in ["ca.crt", "berlin.crt"] {
                let trust = authority.trust(file);
                assert_eq!(receive(&trust, &signed, "berlin").unwrap(), DUMP, "{file}");
            }
        }
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let authority = Authority::new();
        let signed = sign(&authority.issue("berlin", |_| {}), Form::Command);
        let trust = authority.trust("ca.crt");
        let line = DUMP.len() + "COMMAND [7".len();
        for at in (0..signed.len() - 2).filter(|at| !(DUMP.len()..=line).contains(at)) {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            let result = receive(&trust, &changed, "berlin");
            assert!(result.is_err(), "changed at {at}");
        }
        for cut in 0..signed.len() - 2 {
            assert!(receive(&trust, &signed[..cut], "berlin").is_err(), "{cut}");
        }
        let more = [&signed[..], b"COMMAND [7] MORE\n\n"].concat();
        assert_eq!(
            receive(&trust, &more, "berlin").unwrap_err(),
            "the dump is not signed"
        );
        let twice = [&signed[..], &signed[..]].concat();
        assert!(receive(&trust, &twice, "berlin").is_err());
    }

    #[test]
    fn only_the_site_itself_can_sign_for_it() {
        let authority = Authority::new();
        let berlin = sign(&authority.issue("berlin", |_| {}), Form::Command);
        let expired = authority.issue("old", |params| {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        });
        let expired = sign(&expired, Form::Command);
        let stranger = sign(&Authority::new().issue("berlin", |_| {}), Form::Command);
        // A site's key signs no certificates, whoever believes the site.
        authority.issue("evil", |params| params.is_ca = IsCa::ExplicitNoCa);
        let key = KeyPair::from_pem(&std::fs::read_to_string(authority.path("evil.key")).unwrap());
        let sub = Authority {
            directory: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(CertificateParams::default(), key.unwrap()),
        };
        let forged = sign(&sub.issue("berlin", |_| {}), Form::Command);
        for (name, file, dump, who, want) in [
            ("right", "ca.crt", &berlin, "berlin", ""),
            (
                "other site",
                "ca.crt",
                &berlin,
                "paris",
                "signed by site berlin, not by site paris",
            ),
            ("expired", "ca.crt", &expired, "old", "expired"),
            ("expired, pinned", "old.crt", &expired, "old", "expired"),
            (
                "other authority",
                "ca.crt",
                &stranger,
                "berlin",
                "BadSignature",
            ),
            ("other pin", "evil.crt", &berlin, "berlin", "UnknownIssuer"),
            (
                "signed by a site",
                "evil.crt",
                &forged,
                "berlin",
                "UnknownIssuer",
            ),
        ] {
            let result = receive(&authority.trust(file), dump, who);
            match result {
                Ok(_) => assert_eq!(want, "", "{name}"),
                Err(why) => assert!(!want.is_empty() && why.contains(want), "{name}: {why}"),
            }
        }
    }

    #[test]
    fn keys_that_do_not_fit_are_refused_at_the_start() {
        let authority = Authority::new();
        authority.issue("a", |_| {});
        authority.issue("b", |_| {});
        let load = |certificate: &str, key: &str| {
            Signer::load(&authority.path(certificate), &authority.path(key))
                .unwrap_err()
                .to_string()
        };
        assert!(load("a.crt", "b.key").contains("not the key of the certificate"));
        assert!(load("ca.crt", "a.key").contains("not the certificate of one site"));
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(authority.path("a.key"), open).unwrap();
        assert!(load("a.crt", "a.key").contains("chmod 600"));
    }

    #[test]
    fn old_dumps_and_those_from_the_future_are_refused() {
        let begin = DumpBegin {
            site: site("a"),
            content: DumpContent::State,
            epoch: 0,
            sequence: 1,
            mode: DumpMode::Full,
            time: UnixTime::from_secs(10_000),
            config_hash: None,
        };
        let check = |now| check_age(&begin, UnixTime::from_secs(now), Duration::from_secs(300));
        assert!(check(10_000).is_ok() && check(10_300).is_ok() && check(9_700).is_ok());
        assert!(check(10_301).unwrap_err().to_string().contains("301 s old"));
        assert!(check(9_600).unwrap_err().to_string().contains("future"));
    }

    #[test]
    fn openssl_agrees() {
        let authority = Authority::new();
        let signed = sign(&authority.issue("berlin", |_| {}), Form::Comment);
        let line = parse(&signed[DUMP.len()..]).unwrap();
        let path = |name: &str, bytes: &[u8]| {
            let path = authority.path(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (dump, signature) = (path("dump", DUMP), path("signature", &line.signature));
        let run = |arguments: &[&std::ffi::OsStr]| {
            let output = std::process::Command::new("openssl")
                .args(arguments)
                .output();
            output.ok().filter(|output| output.status.success())
        };
        let certificate = authority.path("berlin.crt");
        let words = ["x509", "-noout", "-pubkey", "-in"].map(std::ffi::OsStr::new);
        let key = run(&[&words[..], &[certificate.as_os_str()]].concat()).unwrap();
        let key = path("key.pem", &key.stdout);
        let words = ["dgst", "-sha256", "-verify"].map(std::ffi::OsStr::new);
        let rest = [
            key.as_os_str(),
            std::ffi::OsStr::new("-signature"),
            signature.as_os_str(),
            dump.as_os_str(),
        ];
        assert!(run(&[&words[..], &rest].concat()).is_some());
    }
}
