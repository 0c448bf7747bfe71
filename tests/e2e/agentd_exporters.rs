//! Exporters with TLS, as OpenSSL speaks it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use harness::{Program, Site, peer, ports, wait_for};

#[test]
fn an_exporter_behind_openssls_tls_is_handed_on() {
    if !peer::available("openssl", "openssl") {
        return;
    }
    let site = Site::new("exporter");
    let (exporter_port, port) = (ports::free(), ports::free());
    // openssl takes the file for the whole answer, with its head.
    site.write(
        "www/metrics",
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nanswer 42\n",
    );
    let (key, certificate) = (site.path("key.pem"), site.path("certificate.pem"));
    Program::foreign("openssl", "openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"])
        .args(["-subj", "/CN=elsewhere", "-days", "2", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .run()
        .success();
    let mut exporter = Program::foreign("openssl", "openssl")
        .args([
            "s_server",
            "-HTTP",
            "-accept",
            &format!("127.0.0.1:{exporter_port}"),
        ])
        .arg("-key")
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .current_dir(site.path("www"))
        .start();
    exporter.wait_for_line("ACCEPT");
    let exporters = format!(
        "[node]\nenabled = true\nmethod = https\nport = {exporter_port}\npath = /metrics\n\
         interval = 1\ntimeout = 1\n"
    );
    let exporters = site.write("etc/prometheus_exporters.ini", exporters);
    let config = format!(
        "[default]\naddress = 127.0.0.1\nport = {port}\ninterval = 1\ncustomchecks =\n\
         [prometheus]\nenabled = True\nexporters = {}\n[packagemanager]\nenabled = False\n",
        exporters.display()
    );
    let config = site.write("etc/config.ini", config);
    let mut agentd = Program::new("agentd")
        .args(["--disable-logfile", "-v", "-c"])
        .arg(config)
        .start();
    agentd.wait_for_line("listening on");
    let answer = wait_for("the exporter's figures", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let request = "GET /prometheus?exporter=node HTTP/1.0\r\nHost: x\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("answer").then_some(answer)
    });
    assert!(answer.ends_with("\r\n\r\nanswer 42\n"), "{answer}");
}
