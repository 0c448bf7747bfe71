//! Whoever else comes to the port: peers that are served do not notice, and new
//! ones get in.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use net::{Address, Identity, TlsFiles};
use objects::SiteId;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use support::authority::{Authority, TLS, free_port};
use support::{Daemon, Site, wait_until};

struct World {
    authority: Authority,
    port: u16,
    central: Site,
    remote: Site,
}

fn world() -> World {
    let authority = Authority::new();
    let port = free_port();
    let central = Site::new(
        "central",
        &format!(
            "{TLS}[[listen]]\naddress = '127.0.0.1:{port}'\n[[listen]]\naddress = 'unix:@link'\n\
             [[peer]]\nsite = 'remote1'\n[[peer]]\nsite = 'remote2'\n"
        ),
    );
    authority.equip(&central, 1);
    let remote = remote(&authority, "remote1", port, 2);
    World {
        authority,
        port,
        central,
        remote,
    }
}

fn remote(authority: &Authority, name: &'static str, port: u16, serial: u64) -> Site {
    let rest =
        format!("{TLS}[[peer]]\nsite = 'central'\nsend = true\nconnect = '127.0.0.1:{port}'\n");
    let site = Site::new(name, &rest);
    authority.equip(&site, serial);
    site
}

impl World {
    /// The peer gets something through.
    fn check_served(&self) {
        let id = self.remote.submit(&[("HOSTNAME", "a")]);
        wait_until("the peer is served", || {
            let history = self.remote.history(id);
            history
                .last()
                .is_some_and(|last| last == "ended stored by peer")
        });
    }

    fn check_clean(&self, central: &Daemon, remote: &Daemon) {
        let established = |daemon: &Daemon| {
            let log = daemon.log();
            let up = log.iter().filter(|line| line.contains("-> established"));
            up.filter(|line| line.contains("remote1") || line.contains("central"))
                .count()
        };
        assert_eq!(
            established(central),
            established(remote),
            "the link went down"
        );
        assert_eq!(established(remote), 1, "the link went down");
        let log = central.log();
        let complaints = log.iter().filter(|line| line.contains("closed:")).count();
        // Twenty a minute; a slow machine may need more than one.
        assert!(complaints <= 100, "{complaints} complaints");
        assert!(log.iter().all(|line| line.len() < 1000 && line.is_ascii()));
        let text = std::fs::read(self.central.path("notifyd.state")).unwrap();
        assert!(text.iter().all(|b| (0x20..0x7f).contains(b) || *b == b'\n'));
        assert_eq!(self.central.state()["peers"][0]["state"], "established");
    }
}

/// Sends `bytes` and waits until the other end closes.
fn say(stream: &mut (impl Read + Write), bytes: &[u8]) {
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
}

#[test]
fn garbage_of_every_kind_is_closed_and_nobody_notices() {
    let world = world();
    let (there, here) = (world.central.start(), world.remote.start());
    world.check_served();
    let noise: Vec<u8> = (0..5000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let client_hello = [&[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3][..], &noise[..245]].concat();
    let alert = [0x15, 3, 3, 0, 2, 2, 40];
    let preface = b"SITEWIRE-NOTIFY\n";
    let frame = |len: u32| [&preface[..], &len.to_be_bytes(), b"\x01{}"].concat();
    for _ in 0..10 {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"\x1b[31mSSH-2.0-\xff\xfe\r\n",
            &noise,
            &client_hello,
            &alert,
            b"\x16",
            b"",
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            say(&mut stream, b"");
        }
        for bytes in [
            frame(0),
            frame(u32::MAX),
            frame(4097),
            frame(3),
            preface[..7].to_vec(),
            noise.clone(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ] {
            let mut stream = UnixStream::connect(world.central.path("link")).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            say(&mut stream, b"");
        }
        world.check_served();
    }
    world.check_clean(&there, &here);
    here.terminate();
    there.terminate();
}

/// Comes with a certificate, says `bytes`, and waits for the end.
async fn visit(identity: &Identity, port: u16, protocol: &[u8], bytes: &[u8]) {
    let address: Address = format!("127.0.0.1:{port}").parse().unwrap();
    let stream = address.connect().await.unwrap();
    let central = SiteId::new("central").unwrap();
    let Ok(mut stream) = identity.connect_for(protocol, &central, stream).await else {
        return;
    };
    // Some learn only now that they were not let in.
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    let ended = tokio::time::timeout(Duration::from_secs(20), reading).await;
    assert!(ended.is_ok(), "the connection stays open");
}

fn identity(authority: &Authority, name: &'static str, serial: u64) -> (Site, Identity) {
    let site = Site::new(name, "");
    authority.equip(&site, serial);
    let files = TlsFiles {
        certificate: site.path("site.crt"),
        key: site.path("site.key"),
        // Whoever comes believes the centre, whatever that thinks of him.
        ca: Some(site.path("ca.crt")),
        crl: None,
    };
    let identity = Identity::load(&files).unwrap();
    (site, identity)
}

/// Somebody else's TLS, without a certificate.
fn openssl(port: u16, options: &[&str]) {
    let client = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Without openssl there are strangers enough.
    drop(client);
}

#[test]
fn tls_of_every_other_kind_and_bad_frames_in_it_are_closed_and_nobody_notices() {
    let world = world();
    let (there, here) = (world.central.start(), world.remote.start());
    world.check_served();
    let ours = wire::frame::ALPN;
    let (_other, forged) = identity(&Authority::new(), "remote1", 7);
    let (_stranger, stranger) = identity(&world.authority, "stranger", 8);
    let (_peer, peer) = identity(&world.authority, "remote2", 9);
    let frame = |len: u32| [&b"SITEWIRE-NOTIFY\n"[..], &len.to_be_bytes(), b"\x01{}"].concat();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..3 {
        runtime.block_on(async {
            visit(&forged, world.port, ours, b"").await;
            visit(&stranger, world.port, ours, &frame(3)).await;
            visit(&peer, world.port, b"http/1.1", b"GET / HTTP/1.1\r\n\r\n").await;
            for bytes in [
                frame(0),
                frame(u32::MAX),
                frame(4097),
                frame(3),
                vec![0; 5000],
            ] {
                visit(&peer, world.port, ours, &bytes).await;
            }
        });
        for options in [
            &["-tls1_2"][..],
            &["-tls1_3", "-alpn", "h2"],
            &["-tls1_3", "-alpn", "sitewire-notify/1"],
        ] {
            openssl(world.port, options);
        }
        world.check_served();
    }
    world.check_clean(&there, &here);
    here.terminate();
    there.terminate();
}

/// Lets this process have as many descriptors as it may; how many that is.
fn many_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(1 << 16);
    let wanted = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    let _ = setrlimit(Resource::Nofile, wanted);
    most
}

#[test]
fn ten_thousand_that_say_nothing_keep_nobody_out() {
    // The centre keeps the limit that it was started with.
    let world = world();
    let (there, here) = (world.central.start(), world.remote.start());
    world.check_served();
    let at_once = 10_000.min(many_descriptors() as usize - 500);
    let newcomer = remote(&world.authority, "remote2", world.port, 3);
    let mut held = Vec::new();
    let mut late = None;
    for n in 0..10_000 {
        if held.len() == at_once {
            held.clear();
        }
        held.push(TcpStream::connect(("127.0.0.1", world.port)).unwrap());
        if n % 2500 == 1000 {
            world.check_served();
        }
        if n == 5000 {
            late = Some(newcomer.start());
        }
    }
    wait_until("the newcomer gets in", || {
        newcomer.state()["peers"][0]["state"] == "established"
    });
    world.check_served();
    world.check_clean(&there, &here);
    drop(held);
    late.unwrap().terminate();
    here.terminate();
    there.terminate();
}
