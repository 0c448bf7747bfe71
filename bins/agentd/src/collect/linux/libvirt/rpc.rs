//! As much of libvirt's protocol as it takes to ask for the figures of all
//! virtual machines. Bytes and values only; who sends them is elsewhere.

use std::collections::BTreeMap;

const PROGRAM: u32 = 0x2000_8086;
const VERSION: u32 = 1;
const CALL: u32 = 0;
const REPLY: u32 = 1;
const IS_DONE: u32 = 0;

/// The head of a message, its length included.
pub(crate) const HEAD: usize = 28;

/// Longest message; libvirt itself takes no longer ones.
const MAX_MESSAGE: usize = 32 << 20;

/// More of them no machine runs; so libvirt itself thinks.
const MAX_GUESTS: usize = 16_384;
/// Figures of one of them.
const MAX_FIGURES: usize = 16_384;
const MAX_TEXT: usize = 4 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question<'a> {
    /// By what we could prove who we are.
    Authentication,
    /// To look only, at what is behind this address.
    Open(&'a str),
    /// How many processors the machine itself has.
    Node,
    /// The figures of all virtual machines.
    Figures,
    /// What little any of libvirt's drivers knows of one.
    Info(&'a Name),
}

/// Whom libvirt means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) uuid: [u8; 16],
    pub(crate) id: u32,
}

/// A virtual machine with what is known of it, by the names of the figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Guest {
    pub(crate) name: Name,
    pub(crate) numbers: BTreeMap<String, u64>,
    pub(crate) texts: BTreeMap<String, String>,
}

/// What is known of it by any driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    /// In KiB.
    pub(crate) memory: u64,
    pub(crate) processors: u32,
    /// Nanoseconds.
    pub(crate) time: u64,
}

impl Question<'_> {
    fn procedure(&self) -> u32 {
        match self {
            Self::Open(_) => 1,
            Self::Node => 6,
            Self::Info(_) => 16,
            Self::Authentication => 66,
            Self::Figures => 344,
        }
    }

    pub(crate) fn encode(&self, serial: u32) -> Vec<u8> {
        const READ_ONLY: u32 = 1;
        // State, processor time, memory, processors, interfaces, disks.
        const WANTED: u32 = 0x3f;
        let mut bytes = Vec::new();
        for word in [0, PROGRAM, VERSION, self.procedure(), CALL, serial, IS_DONE] {
            put(&mut bytes, word);
        }
        match self {
            Self::Authentication | Self::Node => {}
            Self::Open(address) => {
                put(&mut bytes, 1);
                put_text(&mut bytes, address);
                put(&mut bytes, READ_ONLY);
            }
            // Of none in particular, and with no wishes.
            Self::Figures => [0, WANTED, 0]
                .iter()
                .for_each(|word| put(&mut bytes, *word)),
            Self::Info(name) => {
                put_text(&mut bytes, &name.name);
                bytes.extend_from_slice(&name.uuid);
                put(&mut bytes, name.id);
            }
        }
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, word: u32) {
    bytes.extend_from_slice(&word.to_be_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put(bytes, text.len() as u32);
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// How long the message is that begins so.
pub(crate) fn length(head: &[u8; HEAD]) -> Result<usize, String> {
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    match (HEAD..=MAX_MESSAGE).contains(&length) {
        true => Ok(length),
        false => Err(format!("its message of {length} bytes is none")),
    }
}

/// What the message answers to the question with this number; none if it is
/// about something else.
pub(crate) fn answer(message: &[u8], serial: u32) -> Option<Result<Reader<'_>, String>> {
    let mut reader = Reader(message.get(4..)?);
    let (program, _version) = (reader.u32()?, reader.u32()?);
    let (_procedure, kind, number) = (reader.u32()?, reader.u32()?, reader.u32()?);
    if (program, kind, number) != (PROGRAM, REPLY, serial) {
        return None;
    }
    Some(match reader.u32()? {
        IS_DONE => Ok(reader),
        _ => Err(reader
            .refusal()
            .unwrap_or("refused without words")
            .to_owned()),
    })
}

/// What is left of an answer; `None` where the bytes are not such.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Whether we may go on without proving who we are.
    pub(crate) fn is_open_to_all(&mut self) -> Option<bool> {
        let count = self.count(64)?;
        let kinds: Option<Vec<u32>> = (0..count).map(|_| self.u32()).collect();
        let kinds = kinds?;
        Some(kinds.is_empty() || kinds.contains(&0))
    }

    /// After 32 letters, of four bytes each, and the size of the memory.
    pub(crate) fn node_processors(&mut self) -> Option<u32> {
        self.take(32 * 4 + 8)?;
        self.u32()
    }

    pub(crate) fn info(&mut self) -> Option<Info> {
        let _state = self.u32()?;
        let _most = self.u64()?;
        Some(Info {
            memory: self.u64()?,
            processors: self.u32()?,
            time: self.u64()?,
        })
    }

    pub(crate) fn guests(&mut self) -> Option<Vec<Guest>> {
        let count = self.count(MAX_GUESTS)?;
        (0..count).map(|_| self.guest()).collect()
    }

    fn guest(&mut self) -> Option<Guest> {
        let mut guest = Guest {
            name: Name {
                name: self.text()?.to_owned(),
                uuid: *self.take(16)?.first_chunk()?,
                id: self.u32()?,
            },
            ..Guest::default()
        };
        for _ in 0..self.count(MAX_FIGURES)? {
            let name = self.text()?.to_owned();
            let number = match self.u32()? {
                // Whole numbers with a sign: less than nothing is nothing.
                1 => u64::try_from(self.u32()?.cast_signed()).unwrap_or(0),
                2 | 6 => u64::from(self.u32()?),
                3 => u64::try_from(self.u64()?.cast_signed()).unwrap_or(0),
                4 => self.u64()?,
                // None of ours is a fraction.
                5 => {
                    self.u64()?;
                    continue;
                }
                7 => {
                    guest.texts.insert(name, self.text()?.to_owned());
                    continue;
                }
                _ => return None,
            };
            guest.numbers.insert(name, number);
        }
        Some(guest)
    }

    /// The words of an error, after two numbers.
    fn refusal(&mut self) -> Option<&'a str> {
        let (_code, _domain) = (self.u32()?, self.u32()?);
        match self.u32()? {
            1 => self.text(),
            _ => None,
        }
    }

    /// Of a list. Each of its elements has four bytes or more.
    fn count(&mut self, most: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count <= most && count <= self.0.len() / 4).then_some(count)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(*self.take(8)?.first_chunk()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        if length > MAX_TEXT {
            return None;
        }
        let bytes = self.take(length.next_multiple_of(4))?;
        std::str::from_utf8(&bytes[..length]).ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) enum Figure<'a> {
        Int(u32),
        Long(u64),
        Text(&'a str),
    }

    /// A message with the answer to the question with this number.
    pub(crate) fn reply(serial: u32, status: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = (HEAD + body.len()) as u32;
        for word in [length, PROGRAM, VERSION, 344, REPLY, serial, status] {
            put(&mut bytes, word);
        }
        bytes.extend_from_slice(body);
        bytes
    }

    pub(crate) fn guests(guests: &[(&str, &[(&str, Figure<'_>)])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, guests.len() as u32);
        for (name, figures) in guests {
            put_text(&mut bytes, name);
            bytes.extend_from_slice(&[0x66; 16]);
            put(&mut bytes, 1);
            put(&mut bytes, figures.len() as u32);
            for (field, figure) in *figures {
                put_text(&mut bytes, field);
                match figure {
                    Figure::Int(number) => {
                        put(&mut bytes, 1);
                        put(&mut bytes, *number);
                    }
                    Figure::Long(number) => {
                        put(&mut bytes, 4);
                        bytes.extend_from_slice(&number.to_be_bytes());
                    }
                    Figure::Text(text) => {
                        put(&mut bytes, 7);
                        put_text(&mut bytes, text);
                    }
                }
            }
        }
        bytes
    }

    #[test]
    fn figures_are_read_and_no_beginning_of_them_is_an_answer() {
        let body = guests(&[
            (
                "web",
                &[
                    ("state.state", Figure::Int(1)),
                    ("cpu.time", Figure::Long(7)),
                    ("net.0.name", Figure::Text("vnet0")),
                ],
            ),
            ("off", &[("state.state", Figure::Int(u32::MAX))]),
        ]);
        let message = reply(9, 0, &body);
        assert!(answer(&message, 8).is_none());
        let found = answer(&message, 9).unwrap().unwrap().guests().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name.name, "web");
        assert_eq!(found[0].numbers["cpu.time"], 7);
        assert_eq!(found[0].texts["net.0.name"], "vnet0");
        assert_eq!(found[1].numbers["state.state"], 0);
        for cut in 0..message.len() {
            let whole = answer(&message[..cut], 9).and_then(|answer| answer.ok()?.guests());
            assert_eq!(whole, None, "{cut}");
        }
        let mut endless = message;
        endless[HEAD..HEAD + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(answer(&endless, 9).unwrap().unwrap().guests(), None);
    }

    #[test]
    fn what_is_refused_has_words() {
        let mut body = Vec::new();
        [38, 0, 1].iter().for_each(|word| put(&mut body, *word));
        put_text(&mut body, "access denied");
        let refused = reply(1, 1, &body);
        let why = answer(&refused, 1).unwrap().err();
        assert_eq!(why.as_deref(), Some("access denied"));
        let why = answer(&refused[..HEAD + 8], 1).unwrap().err();
        assert_eq!(why.as_deref(), Some("refused without words"));
    }

    #[test]
    fn lengths_are_looked_at_before_they_are_believed() {
        for (number, is_fine) in [(0, false), (27, false), (28, true), (u32::MAX, false)] {
            let mut head = [0; HEAD];
            head[..4].copy_from_slice(&u32::to_be_bytes(number));
            assert_eq!(length(&head).is_ok(), is_fine, "{number}");
        }
    }
}
