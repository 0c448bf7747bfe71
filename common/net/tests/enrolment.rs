//! The door for those who want a certificate: who comes in there, and that
//! nobody comes further.

mod support;

use std::process::{Child, Command, Stdio};

use net::{Enrolment, Error, Identity, Visitor};
use support::{Authority, listen, site};

const PROTOCOL: &[u8] = b"join/1";

fn door(ca: &Authority, identity: &Identity) -> Enrolment {
    Enrolment::new(identity, PROTOCOL, &ca.path("ca.crt")).unwrap()
}

/// Somebody without a certificate, who offers these protocols.
fn stranger(address: &net::Address, protocols: &str) -> Child {
    Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(["-alpn", protocols])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed")
}

#[tokio::test]
async fn a_stranger_comes_in_by_this_door_and_by_no_other() {
    let ca = Authority::new();
    let central = ca.identity("central");
    let door = door(&ca, &central);
    for (protocols, enters) in [
        ("join/1", true),
        ("sitewire-notify/1", false),
        ("join/1,sitewire-notify/1", false),
        ("sitewire-notify/1,join/1", false),
        ("h2", false),
    ] {
        let (listener, address) = listen().await;
        let mut client = stranger(&address, protocols);
        let (stream, _) = listener.accept().await.unwrap();
        let visitor = door.accept(&central, stream).await;
        assert_eq!(
            matches!(visitor, Ok(Visitor::Enrolment(_, None))),
            enters,
            "{protocols}: {visitor:?}"
        );
        assert_eq!(visitor.is_ok(), enters, "{protocols}: {visitor:?}");
        let _ = client.kill();
        client.wait().unwrap();
    }
}

#[tokio::test]
async fn a_site_with_a_certificate_is_known_at_both_doors() {
    let ca = Authority::new();
    let (central, remote) = (ca.identity("central"), ca.identity("remote"));
    let door = door(&ca, &central);
    for protocol in [PROTOCOL, wire::frame::ALPN] {
        let (listener, address) = listen().await;
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            door.accept(&central, stream).await.unwrap()
        };
        let connect = async {
            let stream = address.connect().await.unwrap();
            let connecting = remote.connect_for(protocol, central.site().unwrap(), stream);
            connecting.await.unwrap()
        };
        let (visitor, _stream) = tokio::join!(serve, connect);
        match visitor {
            Visitor::Enrolment(_, peer) => {
                let peer = peer.unwrap();
                let leaf = net::tls::Leaf::read(&peer.certificate().into()).unwrap();
                assert_eq!((protocol, leaf.site), (PROTOCOL, Ok(site("remote"))));
                central.believes(&site("remote"), &peer).unwrap();
                let other = Authority::new().identity("central");
                assert!(other.believes(&site("remote"), &peer).is_err());
            }
            Visitor::Link(_, peer) => {
                assert_eq!((protocol, peer), (wire::frame::ALPN, site("remote")));
            }
        }
    }
}

#[tokio::test]
async fn a_bad_certificate_is_worse_than_none() {
    let ca = Authority::new();
    let mut files = ca.sign("central", |_| {});
    let revoked = ca.identity("revoked");
    files.crl = Some(ca.revoke(&["revoked"]));
    let central = Identity::load(&files).unwrap();
    let door = door(&ca, &central);
    let (listener, address) = listen().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        door.accept(&central, stream).await
    };
    let connect = async {
        let stream = address.connect().await.unwrap();
        revoked
            .connect_for(PROTOCOL, central.site().unwrap(), stream)
            .await
    };
    let (visitor, _stream) = tokio::join!(serve, connect);
    let error = visitor.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

#[test]
fn the_authority_must_be_the_one_that_signed_for_us() {
    let (ours, other) = (Authority::new(), Authority::new());
    let central = ours.identity("central");
    let error = Enrolment::new(&central, PROTOCOL, &other.path("ca.crt"));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("did not sign our certificate"), "{error}");
}
