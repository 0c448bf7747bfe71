//! TLS between sites over real sockets: who is let in, and what the others
//! are told.

mod support;

use net::{Error, Identity, Pins, Presented, Stream, TlsFiles};
use objects::SiteId;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use support::{Authority, chmod, listen, site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the server saw, and what the client saw once it has read a byte: in
/// TLS 1.3 a client learns only then that it was not let in.
async fn meet(
    server: &Identity,
    client: &Identity,
    expected: &str,
) -> (Result<SiteId, Error>, Result<(), String>) {
    let (listener, address) = listen().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, peer) = server.accept(stream).await?;
        stream.write_all(b"x").await.unwrap();
        stream.shutdown().await.unwrap();
        Ok(peer)
    };
    let connect = async {
        let stream = address.connect().await.unwrap();
        let text = |error: &dyn std::error::Error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        let mut stream = client
            .connect(&site(expected), stream)
            .await
            .map_err(|error| text(&error))?;
        let byte = stream.read_u8().await.map_err(|error| error.to_string())?;
        assert_eq!(byte, b'x');
        Ok(())
    };
    tokio::join!(serve, connect)
}

#[tokio::test]
async fn both_ends_learn_who_the_other_is() {
    let ca = Authority::new();
    let (server, client) = (ca.identity("central"), ca.identity("remote_1"));
    assert_eq!(server.site(), Some(&site("central")));
    let (served, connected) = meet(&server, &client, "central").await;
    assert_eq!(served.unwrap(), site("remote_1"));
    connected.unwrap();
}

#[tokio::test]
async fn another_authority_is_not_believed_by_either_end() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (server, client) = (theirs.identity("central"), ours.identity("remote"));
    let (served, connected) = meet(&server, &client, "central").await;
    assert!(matches!(served, Err(Error::Tls(_))), "{served:?}");
    let text = connected.unwrap_err();
    assert!(
        text.contains("UnknownIssuer") || text.contains("BadSignature"),
        "{text}"
    );

    // A client that believes the server is still not believed by it.
    let mut files = ours.sign("remote", |_| {});
    let both_file = ours.path("both.crt");
    files.ca = Some(both_file.clone());
    let both =
        [ours.path("ca.crt"), theirs.path("ca.crt")].map(|path| std::fs::read(path).unwrap());
    std::fs::write(&both_file, both.concat()).unwrap();
    let client = Identity::load(&files).unwrap();
    let (served, connected) = meet(&server, &client, "central").await;
    assert!(matches!(served, Err(Error::Tls(_))), "{served:?}");
    assert!(connected.unwrap_err().contains("alert"));
}

#[tokio::test]
async fn a_server_of_another_site_is_named() {
    let ca = Authority::new();
    let (server, client) = (ca.identity("other"), ca.identity("remote"));
    let (served, connected) = meet(&server, &client, "central").await;
    assert!(served.is_err());
    let want = "peer's certificate is for site other, expected site central";
    assert_eq!(connected.unwrap_err(), want);
}

#[tokio::test]
async fn expired_certificates_are_refused_and_said_so() {
    let ca = Authority::new();
    let expired = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    // Loading it is possible: the program goes on without its peers.
    let old = Identity::load(&ca.sign("old", expired)).unwrap();
    assert_eq!(old.expires().map(|end| end.secs()), Some(1_009_843_200));
    let good = ca.identity("good");
    let (_, connected) = meet(&old, &good, "old").await;
    let text = connected.unwrap_err();
    assert!(text.contains("expired"), "{text}");
    let (served, _) = meet(&good, &old, "good").await;
    let Err(Error::Tls(error)) = served else {
        panic!("{served:?}");
    };
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_servers_only_is_no_client() {
    let ca = Authority::new();
    let files = ca.sign("server_only", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let client = Identity::load(&files).unwrap();
    let (served, _) = meet(&ca.identity("central"), &client, "central").await;
    assert!(matches!(served, Err(Error::Tls(_))), "{served:?}");
}

/// What the server says about a client of foreign make.
async fn serve_openssl(args: &[&str]) -> Error {
    let ca = Authority::new();
    let server = ca.identity("central");
    let (listener, address) = listen().await;
    let mut client = std::process::Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(args)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let (stream, _) = listener.accept().await.unwrap();
    let error = server.accept(stream).await.unwrap_err();
    client.kill().unwrap();
    client.wait().unwrap();
    error
}

#[tokio::test]
async fn a_client_without_certificate_is_not_let_in() {
    let error = serve_openssl(&["-alpn", "sitewire-notify/1"]).await;
    let Error::Tls(cause) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(cause.to_string(), "peer sent no certificates");
}

#[tokio::test]
async fn a_client_of_an_old_version_is_not_let_in() {
    let error = serve_openssl(&["-tls1_2", "-alpn", "sitewire-notify/1"]).await;
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn a_client_of_another_protocol_is_not_let_in() {
    let error = serve_openssl(&["-alpn", "h2"]).await;
    assert!(matches!(error, Error::NoProtocol(_)), "{error:?}");
}

#[tokio::test]
async fn plain_text_to_a_tls_port_is_one_clear_error() {
    let ca = Authority::new();
    let server = ca.identity("central");
    for greeting in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        wire::frame::PREFACE,
        &[0; 64],
    ] {
        let (listener, address) = listen().await;
        let mut stream = address.connect().await.unwrap();
        stream.write_all(greeting).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let error = server.accept(accepted).await.unwrap_err();
        assert!(matches!(error, Error::NotTls), "{greeting:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_one_clear_error() {
    let ca = Authority::new();
    let client = ca.identity("remote");
    let (listener, address) = listen().await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SITEWIRE-NOTIFY\nplain").await.unwrap();
        stream
    };
    let connect = async {
        let stream = address.connect().await.unwrap();
        client.connect(&site("central"), stream).await.unwrap_err()
    };
    let (_stream, error) = tokio::join!(serve, connect);
    assert!(matches!(error, Error::NotTls), "{error:?}");
}

#[tokio::test]
async fn tls_works_over_a_unix_socket_too() {
    let ca = Authority::new();
    let (server, client) = (ca.identity("central"), ca.identity("remote"));
    let address: net::Address = format!("unix:{}", ca.path("socket").display())
        .parse()
        .unwrap();
    let listener = address.listen().await.unwrap();
    let serve = async {
        let (stream, origin) = listener.accept().await.unwrap();
        assert_eq!(origin, address.to_string());
        assert!(matches!(stream, Stream::Unix(_)));
        server.accept(stream).await.unwrap().1
    };
    let connect = async {
        let stream = address.connect().await.unwrap();
        client.connect(&site("central"), stream).await.unwrap()
    };
    let (peer, _stream) = tokio::join!(serve, connect);
    assert_eq!(peer, site("remote"));
}

#[test]
fn every_mistake_in_the_files_names_the_file() {
    let (ca, other) = (Authority::new(), Authority::new());
    let good = ca.sign("good", |_| {});
    let second = ca.sign("second", |_| {});
    let nameless = ca.sign("nameless", |params| params.subject_alt_names.clear());
    let double = ca.sign("double", |params| {
        let uri = "sitewire:site:again".try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
    });
    std::fs::write(ca.path("empty"), "").unwrap();
    chmod(&ca.path("empty"), 0o600);
    let open = ca.path("open.key");
    std::fs::copy(&good.key, &open).unwrap();
    chmod(&open, 0o644);
    let with = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = good.clone();
        change(&mut files);
        files
    };
    let missing = ca.path("missing");
    let empty = ca.path("empty");
    for (name, files, path, what) in [
        (
            "no certificate file",
            with(&|f| f.certificate = missing.clone()),
            &missing,
            "cannot read",
        ),
        (
            "no key file",
            with(&|f| f.key = missing.clone()),
            &missing,
            "cannot read",
        ),
        (
            "no ca file",
            with(&|f| f.ca = Some(missing.clone())),
            &missing,
            "cannot read",
        ),
        (
            "empty certificate",
            with(&|f| f.certificate = empty.clone()),
            &empty,
            "has no certificate",
        ),
        (
            "empty key",
            with(&|f| f.key = empty.clone()),
            &empty,
            "has no private key",
        ),
        (
            "empty ca",
            with(&|f| f.ca = Some(empty.clone())),
            &empty,
            "has no certificate",
        ),
        (
            "key for all to read",
            with(&|f| f.key = open.clone()),
            &open,
            "chmod 600",
        ),
        (
            "key of another",
            with(&|f| f.key = second.key.clone()),
            &second.key,
            "is not the key of",
        ),
        (
            "another ca",
            with(&|f| f.ca = Some(other.path("ca.crt"))),
            &good.certificate,
            "not usable with",
        ),
        (
            "no site",
            nameless.clone(),
            &nameless.certificate,
            "has no URI sitewire:site:ID",
        ),
        (
            "two sites",
            double.clone(),
            &double.certificate,
            "names more than one site",
        ),
    ] {
        let text = Identity::load(&files).expect_err(name).to_string();
        assert!(text.contains(what), "{name}: {text}");
        assert!(text.contains(&*path.to_string_lossy()), "{name}: {text}");
    }
    assert!(Identity::load(&good).is_ok());
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_by_either_end() {
    let ca = Authority::new();
    let mut files = ["central", "good", "revoked"].map(|name| ca.sign(name, |_| {}));
    let crl = ca.revoke(&["revoked"]);
    for files in &mut files {
        files.crl = Some(crl.clone());
    }
    let [central, good, revoked] = files.map(|files| Identity::load(&files).unwrap());
    let (served, connected) = meet(&central, &good, "central").await;
    assert_eq!(served.unwrap(), site("good"));
    connected.unwrap();
    let (served, _) = meet(&central, &revoked, "central").await;
    let Err(Error::Tls(error)) = served else {
        panic!("{served:?}");
    };
    assert!(error.to_string().contains("Revoked"), "{error}");
    let (_, connected) = meet(&revoked, &good, "revoked").await;
    let error = connected.unwrap_err();
    assert!(error.contains("Revoked"), "{error}");
}

#[test]
fn a_list_that_cannot_be_used_is_named() {
    let ca = Authority::new();
    let mut files = ca.sign("central", |_| {});
    files.crl = Some(files.certificate.clone());
    let error = Identity::load(&files).unwrap_err().to_string();
    assert!(error.contains("central.crt: has no list"), "{error}");
}

fn pins(all: &[([u8; 32], &str)]) -> Pins {
    let mut pins = Pins::default();
    for (key, name) in all {
        assert_eq!(pins.insert(*key, site(name)), None);
    }
    pins
}

#[tokio::test]
async fn keys_that_are_pinned_need_no_authority_at_either_end() {
    let ca = Authority::new();
    let (central, central_key) = ca.self_signed("central", None);
    let (remote, remote_key) = ca.self_signed("remote", Some("sitewire:site:other"));
    let (stranger, _) = ca.self_signed("stranger", Some("sitewire:site:remote"));
    let central = Identity::load_with_pins(&central, pins(&[(remote_key, "remote")])).unwrap();
    assert_eq!((central.site(), central.expires()), (None, None));
    let knows = |key| pins(&[(key, "central")]);
    let remote_identity = Identity::load_with_pins(&remote, knows(central_key)).unwrap();
    let (served, connected) = meet(&central, &remote_identity, "central").await;
    // What the certificate says does not count.
    assert_eq!(served.unwrap(), site("remote"));
    connected.unwrap();

    let stranger = Identity::load_with_pins(&stranger, knows(central_key)).unwrap();
    let (served, connected) = meet(&central, &stranger, "central").await;
    let text = served.unwrap_err().to_string();
    assert!(text.starts_with("peer's key sha256:"), "{text}");
    assert!(text.ends_with("is pinned for no site"), "{text}");
    assert!(connected.is_err());

    let mistaken = Identity::load_with_pins(&remote, knows([7; 32])).unwrap();
    let (_, connected) = meet(&central, &mistaken, "central").await;
    let text = connected.unwrap_err();
    let found: String = central_key.iter().map(|b| format!("{b:02x}")).collect();
    let want = format!("peer's key sha256:{found} is not pinned for site central");
    assert_eq!(text, want);
}

#[tokio::test]
async fn beside_an_authority_a_site_with_a_pin_is_known_by_that_only() {
    let ca = Authority::new();
    let (pinned, key) = ca.self_signed("pinned", None);
    let central = ca.sign("central", |_| {});
    let pins = || pins(&[(key, "pinned")]);
    let server = Identity::load_with_pins(&central, pins()).unwrap();
    // By the authority, as without pins.
    let (served, connected) = meet(&server, &ca.identity("remote"), "central").await;
    assert_eq!(served.unwrap(), site("remote"));
    connected.unwrap();
    // By its key.
    let knows = || self::pins(&[(key_of(&central), "central")]);
    let client = Identity::load_with_pins(&pinned, knows()).unwrap();
    let (served, connected) = meet(&server, &client, "central").await;
    assert_eq!(served.unwrap(), site("pinned"));
    connected.unwrap();
    // The authority cannot vouch for a site that has a pin.
    let (served, _) = meet(&server, &ca.identity("pinned"), "central").await;
    let text = served.unwrap_err().to_string();
    assert!(text.ends_with("is not pinned for site pinned"), "{text}");
    let (_, connected) = meet(&ca.identity("pinned"), &server, "pinned").await;
    let text = connected.unwrap_err();
    assert!(text.ends_with("is not pinned for site pinned"), "{text}");
    // A key is for one site.
    let (_, connected) = meet(&client, &server, "remote").await;
    let text = connected.unwrap_err();
    assert!(text.contains("site pinned, by its key"), "{text}");
    // Nobody knows this one, and the key is told so that it can be pinned.
    let (unknown, _) = ca.self_signed("unknown", None);
    let unknown = Identity::load_with_pins(&unknown, knows()).unwrap();
    let (served, _) = meet(&server, &unknown, "central").await;
    let text = served.unwrap_err().to_string();
    assert!(text.contains("is pinned for no site, and: "), "{text}");
}

/// Of the certificate in a file.
fn key_of(files: &TlsFiles) -> [u8; 32] {
    use rustls_pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, X509Certificate};
    let der = rustls_pki_types::CertificateDer::from_pem_file(&files.certificate).unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.public_key().raw);
    hash.as_ref().try_into().unwrap()
}

#[test]
fn who_is_pinned_no_longer_or_for_another_site_is_believed_no_longer() {
    use rustls_pki_types::pem::PemObject;
    let ca = Authority::new();
    let (files, key) = ca.self_signed("remote", None);
    let der = rustls_pki_types::CertificateDer::from_pem_file(&files.certificate).unwrap();
    let shown = Presented::of(Some(&[der])).unwrap();
    let central = ca.sign("central", |_| {});
    for (pinned, believed) in [
        (pins(&[(key, "remote")]), true),
        (pins(&[(key, "other")]), false),
        (pins(&[([7; 32], "remote")]), false),
        (Pins::default(), false),
    ] {
        let identity = Identity::load_with_pins(&central, pinned).unwrap();
        let belief = identity.believes(&site("remote"), &shown);
        assert_eq!(belief.is_ok(), believed, "{belief:?}");
    }
}
