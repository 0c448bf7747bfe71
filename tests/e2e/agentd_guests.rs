//! agentd asks a real libvirtd for virtual machines, which libvirt's own driver for
//! tests makes up: none has to run.

use harness::{Site, peer};
use serde_json::Value;

use crate::agentd_figures::enclosed;

/// One that runs, and one that does not.
const NODE: &str = "<node><cpu><mhz>2000</mhz><active>8</active><nodes>1</nodes>\
     <sockets>1</sockets><cores>8</cores><threads>1</threads></cpu><memory>8000000</memory>\
     <domain type='test'><name>runs</name><uuid>11111111-2222-3333-4444-555555555555</uuid>\
     <memory>4194304</memory><currentMemory>2097152</currentMemory><vcpu>2</vcpu>\
     <os><type>hvm</type></os></domain>\
     <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>\
     <name>off</name><uuid>99999999-2222-3333-4444-555555555555</uuid><memory>1048576</memory>\
     <vcpu>1</vcpu><os><type>hvm</type></os><test:runstate>5</test:runstate></domain></node>";

#[test]
fn virtual_machines_are_those_of_libvirt() {
    if !peer::needs_root("unshare")
        || !peer::available("ip", "iproute2")
        || !peer::available("libvirtd", "libvirt-daemon")
    {
        return;
    }
    let site = Site::new("guests");
    let node = site.write("node.xml", NODE);
    // As an ordinary user it has only the socket for those who may change things.
    let script = format!(
        "mkdir /run/user\nexport HOME=/run/user XDG_RUNTIME_DIR=/run/user\n\
         cp {} /run/user/node.xml\nchmod 644 /run/user/node.xml\n\
         printf '%s = \"%s\"\\n' auth_unix_rw none unix_sock_dir /run/user >/run/user/conf\n\
         chown nobody /run/user\n\
         own setpriv --reuid=nobody --regid=nogroup --clear-groups libvirtd -f /run/user/conf >&2\n\
         wait_for '\"libvirt\":{{\"[0-9]'",
        node.display()
    );
    let address =
        "LIBVIRT_DEFAULT_URI=test+unix:///run/user/node.xml?socket=/run/user/libvirt-sock";
    let text = enclosed("json", address, &script);
    let document: Value = serde_json::from_str(&text).expect("a document");
    assert_eq!(document["errors"]["libvirt"], Value::Null);
    let guest = &document["libvirt"]["11111111-2222-3333-4444-555555555555"];
    assert_eq!(guest["Name"], "runs");
    assert_eq!(guest["IsRunning"], true);
    assert_eq!(guest["Memory"]["Total"], 2_097_152);
    assert!(guest["CpuUsage"]["HostPercent"].is_number());
    let guest = &document["libvirt"]["99999999-2222-3333-4444-555555555555"];
    assert_eq!(guest["Name"], "off");
    assert_eq!(guest["IsRunning"], false);
    assert_eq!(guest["Memory"], Value::Null);
    assert_eq!(guest["CpuUsage"], Value::Null);
}
