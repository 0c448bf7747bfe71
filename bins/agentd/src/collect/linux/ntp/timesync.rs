//! What systemd-timesyncd says over the system's bus.

use super::dbus::{Body, Method, property};

const NAME: &str = "org.freedesktop.timesync1";
const PATH: &str = "/org/freedesktop/timesync1";
const MANAGER: &str = "org.freedesktop.timesync1.Manager";

/// The properties that are asked for, in this order.
const PROPERTIES: [[&str; 2]; 8] = [
    [MANAGER, "NTPMessage"],
    [MANAGER, "ServerName"],
    [MANAGER, "ServerAddress"],
    [MANAGER, "PollIntervalUSec"],
    [MANAGER, "PollIntervalMinUSec"],
    [MANAGER, "PollIntervalMaxUSec"],
    [MANAGER, "RootDistanceMaxUSec"],
    [MANAGER, "Frequency"],
];

/// How the clock is kept. Times in microseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Status {
    pub(crate) message: Message,
    pub(crate) server: String,
    pub(crate) address: String,
    pub(crate) poll: u64,
    pub(crate) poll_min: u64,
    pub(crate) poll_max: u64,
    pub(crate) root_distance_max: u64,
    /// Parts per million, times 65536.
    pub(crate) frequency: i64,
}

/// The last answer of its server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) leap: u32,
    pub(crate) version: u32,
    pub(crate) stratum: u32,
    pub(crate) precision: i32,
    pub(crate) root_delay: u64,
    pub(crate) root_dispersion: u64,
    pub(crate) reference: Vec<u8>,
    /// When we sent, it received, it sent, and we received.
    pub(crate) times: [u64; 4],
    /// How many answers there have been.
    pub(crate) count: u64,
    pub(crate) jitter: u64,
}

/// What to ask.
pub(crate) fn questions() -> [Method<'static>; 8] {
    PROPERTIES
        .each_ref()
        .map(|names| property(NAME, PATH, names))
}

/// The answers to these questions. Older ones do not know all properties: these
/// stay empty, but not the first.
pub(crate) fn parse(answers: &[Option<Body>]) -> Option<Status> {
    let answer = |number: usize| answers.get(number)?.as_ref();
    let number = |at: usize| answer(at).and_then(|body| time(body, "t")).unwrap_or(0);
    let server = answer(1).and_then(|body| {
        let mut reader = body.reader();
        reader.variant("s")?;
        reader.string().map(str::to_owned)
    });
    Some(Status {
        message: message(answer(0)?)?,
        server: server.unwrap_or_default(),
        address: answer(2).and_then(address).unwrap_or_default(),
        poll: number(3),
        poll_min: number(4),
        poll_max: number(5),
        root_distance_max: number(6),
        frequency: (answer(7).and_then(|body| time(body, "x")))
            .unwrap_or(0)
            .cast_signed(),
    })
}

impl Message {
    /// Half of what both ways differ, in microseconds: what is to be added to
    /// our clock.
    pub(crate) fn offset(&self) -> i64 {
        let [ours, received, sent, back] = self.times.map(u64::cast_signed);
        let there = received.saturating_sub(ours);
        let again = sent.saturating_sub(back);
        there.saturating_add(again) / 2
    }

    /// Both ways together, in microseconds.
    pub(crate) fn delay(&self) -> i64 {
        let [ours, received, sent, back] = self.times.map(u64::cast_signed);
        let whole = back.saturating_sub(ours);
        whole.saturating_sub(sent.saturating_sub(received))
    }
}

fn time(body: &Body, signature: &str) -> Option<u64> {
    let mut reader = body.reader();
    reader.variant(signature)?;
    reader.u64()
}

/// `(iay)`: the family, and the bytes of the address.
fn address(body: &Body) -> Option<String> {
    let mut reader = body.reader();
    reader.variant("(iay)")?;
    reader.align(8);
    reader.u32()?;
    let bytes = reader.bytes()?;
    let address = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let address = address.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from));
    Some(address.ok()?.to_string())
}

fn message(body: &Body) -> Option<Message> {
    let mut reader = body.reader();
    reader.variant("(uuuuittayttttbtt)")?;
    reader.align(8);
    let (leap, version, _mode) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let (stratum, precision) = (reader.u32()?, reader.u32()?.cast_signed());
    let (root_delay, root_dispersion) = (reader.u64()?, reader.u64()?);
    let reference = reader.bytes().filter(|bytes| bytes.len() == 4)?.to_vec();
    let times = [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
    let _is_ignored = reader.u32()?;
    Some(Message {
        leap,
        version,
        stratum,
        precision,
        root_delay,
        root_dispersion,
        reference,
        times,
        count: reader.u64()?,
        jitter: reader.u64()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A variant with a message, as it is on the bus.
    pub(crate) fn bytes_of_message() -> Vec<u8> {
        let mut bytes = vec![17];
        bytes.extend_from_slice(b"(uuuuittayttttbtt)");
        bytes[0] = (bytes.len() - 1) as u8;
        bytes.push(0);
        let align = |bytes: &mut Vec<u8>, to| bytes.resize(bytes.len().next_multiple_of(to), 0);
        align(&mut bytes, 8);
        for word in [0, 4, 4, 2, -24_i32 as u32] {
            bytes.extend_from_slice(&u32::to_le_bytes(word));
        }
        align(&mut bytes, 8);
        for word in [30_000_u64, 2_000] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&4_u32.to_le_bytes());
        bytes.extend_from_slice(&[192, 0, 2, 1]);
        align(&mut bytes, 8);
        for word in [1_000_000_u64, 1_015_100, 1_015_200, 1_030_000] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        align(&mut bytes, 8);
        for word in [7_u64, 500] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_last_answer_tells_how_far_the_clock_is_off() {
        let bytes = bytes_of_message();
        let status = parse(&[Some(Body::of(&bytes))]).unwrap();
        assert_eq!(status.message.stratum, 2);
        assert_eq!(status.message.precision, -24);
        assert_eq!(status.message.reference, [192, 0, 2, 1]);
        assert_eq!(status.message.count, 7);
        assert_eq!(status.message.offset(), 150);
        assert_eq!(status.message.delay(), 29_900);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&[Some(Body::of(&bytes[..cut]))]), None, "{cut}");
        }
        assert_eq!(parse(&[None]), None);
    }

    #[test]
    fn the_server_has_a_name_and_an_address() {
        let mut name = vec![1, b's', 0, 0];
        name.extend_from_slice(&4_u32.to_le_bytes());
        name.extend_from_slice(b"time\0");
        let mut address = b"\x05(iay)\0\0".to_vec();
        address.extend_from_slice(&2_u32.to_le_bytes());
        address.extend_from_slice(&4_u32.to_le_bytes());
        address.extend_from_slice(&[192, 0, 2, 9]);
        let mut poll = b"\x01t\0\0\0\0\0\0".to_vec();
        poll.extend_from_slice(&32_000_000_u64.to_le_bytes());
        let bodies = [bytes_of_message(), name, address, poll];
        let answers = bodies.map(|bytes| Some(Body::of(&bytes)));
        let status = parse(&answers).unwrap();
        assert_eq!(status.server, "time");
        assert_eq!(status.address, "192.0.2.9");
        assert_eq!(status.poll, 32_000_000);
        assert_eq!(status.frequency, 0);
    }
}
