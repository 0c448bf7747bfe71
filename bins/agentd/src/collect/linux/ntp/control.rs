//! NTP's control messages (mode 6), by which ntpd and ntpsec's ntpd tell how
//! they keep the clock. Bytes and values only; who sends them is elsewhere.

use std::collections::BTreeMap;

const MODE: u8 = 6;
const VERSION: u8 = 2;
const READ_STATUS: u8 = 1;
const READ_VARIABLES: u8 = 2;

const IS_ANSWER: u8 = 0x80;
const IS_ERROR: u8 = 0x40;
const IS_MORE: u8 = 0x20;

const HEAD: usize = 12;

/// Longest answer, which comes in pieces.
const MAX_ANSWER: usize = 64 << 10;
const MAX_PIECES: usize = 256;

/// No server has more that count.
const MAX_PEERS: usize = 64;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whom it knows.
    Peers,
    /// The variables of one of them, or of the server itself for 0.
    Variables(u16),
}

impl Question {
    pub(crate) fn encode(self, sequence: u16) -> [u8; HEAD] {
        let (operation, association) = match self {
            Self::Peers => (READ_STATUS, 0),
            Self::Variables(association) => (READ_VARIABLES, association),
        };
        let mut bytes = [0; HEAD];
        bytes[0] = VERSION << 3 | MODE;
        bytes[1] = operation;
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        bytes[6..8].copy_from_slice(&association.to_be_bytes());
        bytes
    }
}

/// The pieces of one answer, in whatever order they come.
pub(crate) struct Pieces {
    sequence: u16,
    status: u16,
    found: BTreeMap<usize, Vec<u8>>,
    length: Option<usize>,
}

/// A whole answer: the status of whom it is about, and the data.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) data: Vec<u8>,
}

impl Pieces {
    /// Of the answer to the question with this number.
    pub(crate) fn of(sequence: u16) -> Self {
        Self {
            sequence,
            status: 0,
            found: BTreeMap::new(),
            length: None,
        }
    }

    /// Takes a datagram; the answer, if it is whole now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<Answer>, String> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Err("its answer is cut off".to_owned());
        };
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (kind, sequence, status) = (head[1], word(2), word(4));
        if head[0] & 7 != MODE || kind & IS_ANSWER == 0 || sequence != self.sequence {
            return Ok(None);
        }
        if kind & IS_ERROR != 0 {
            return Err(format!("it refuses to answer (error {})", status >> 8));
        }
        let (offset, count) = (usize::from(word(8)), usize::from(word(10)));
        let data = rest.get(..count).ok_or("its answer is cut off")?;
        if kind & IS_MORE == 0 {
            self.length = Some(offset + count);
        }
        self.status = status;
        self.found.insert(offset, data.to_vec());
        if self.found.len() > MAX_PIECES {
            return Err("its answer has too many pieces".to_owned());
        }
        Ok(self.whole())
    }

    fn whole(&self) -> Option<Answer> {
        let length = self.length?;
        let mut data = Vec::new();
        for (offset, piece) in &self.found {
            if *offset != data.len() || data.len() + piece.len() > MAX_ANSWER {
                return None;
            }
            data.extend_from_slice(piece);
        }
        (data.len() == length).then_some(Answer {
            status: self.status,
            data,
        })
    }
}

impl Answer {
    /// The associations, and the status of each.
    pub(crate) fn peers(&self) -> Vec<(u16, u16)> {
        let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
        let (entries, _) = self.data.as_chunks::<4>();
        let peers = entries.iter().map(|entry| (word(entry), word(&entry[2..])));
        peers.take(MAX_PEERS).collect()
    }

    /// `NAME=VALUE`, separated by commas and lines; a value may stand in quotes.
    /// Only a quote at its beginning counts: ntpsec 1.2.2 tells of what it has
    /// measured (`filtdelay`) with a few bytes in front that mean nothing.
    pub(crate) fn variables(&self) -> Variables {
        let text = String::from_utf8_lossy(&self.data);
        let mut found = BTreeMap::new();
        let mut rest = text.as_ref();
        while !rest.is_empty() {
            let end = rest.find(['=', ',']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let Some(after) = after.strip_prefix('=') else {
                rest = after.strip_prefix(',').unwrap_or_default();
                continue;
            };
            let quoted = after
                .strip_prefix('"')
                .and_then(|text| text.split_once('"'));
            let (value, after) = quoted.unwrap_or(("", after));
            let (bare, after) = after.split_once(',').unwrap_or((after, ""));
            let value = if quoted.is_some() { value } else { bare.trim() };
            found.insert(name.trim().to_owned(), value.to_owned());
            rest = after;
        }
        Variables(found)
    }

    /// Whether the server says that its clock is right: the two bits of the leap
    /// indicator are not both set.
    pub(crate) fn is_synchronised(&self) -> bool {
        self.status >> 14 != 3
    }
}

/// Variables of the server or of a peer.
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        let number: f64 = self.text(name).parse().ok()?;
        number.is_finite().then_some(number)
    }

    /// A whole number, in hexadecimal digits if it begins so.
    pub(crate) fn bits(&self, name: &str) -> Option<u64> {
        let text = self.text(name);
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// A moment in seconds since 1970, of `0xSECONDS.FRACTION` since 1900; none
    /// if it never was.
    pub(crate) fn moment(&self, name: &str) -> Option<u64> {
        const FROM_1900_TO_1970: u64 = 2_208_988_800;
        let digits = self.text(name).strip_prefix("0x")?;
        let digits = digits.split('.').next()?;
        let secs = u64::from_str_radix(digits, 16).ok()?;
        // What is before 1970 is after 2036, when 32 bits are full.
        match secs {
            0 => None,
            _ if secs < FROM_1900_TO_1970 => secs.checked_add((1 << 32) - FROM_1900_TO_1970),
            _ => Some(secs - FROM_1900_TO_1970),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: u8, sequence: u16, offset: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![VERSION << 3 | MODE, IS_ANSWER | READ_VARIABLES | kind];
        for word in [sequence, 0x0615, 0, offset, data.len() as u16] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(data);
        // Datagrams are filled up.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn pieces_are_put_together_in_any_order() {
        let first = piece(IS_MORE, 9, 0, b"version=\"ntpd, 1\", offs");
        let last = piece(0, 9, 23, b"et=-0.25,\r\nreach=0x1f, rec=0xec3f9a80.8");
        for order in [[&first, &last], [&last, &first]] {
            let mut pieces = Pieces::of(9);
            assert_eq!(pieces.push(&piece(0, 8, 0, b"x=1")), Ok(None));
            assert_eq!(pieces.push(order[0]), Ok(None));
            let answer = pieces.push(order[1]).unwrap().unwrap();
            assert!(answer.is_synchronised());
            let variables = answer.variables();
            assert_eq!(variables.text("version"), "ntpd, 1");
            assert_eq!(variables.number("offset"), Some(-0.25));
            assert_eq!(variables.bits("reach"), Some(31));
            assert_eq!(variables.moment("rec"), Some(0xec3f_9a80 - 2_208_988_800));
            assert_eq!(variables.number("gone"), None);
        }
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let mut bytes = piece(IS_ERROR, 9, 0, b"");
        bytes[4] = 1;
        let refused = Pieces::of(9).push(&bytes).unwrap_err();
        assert_eq!(refused, "it refuses to answer (error 1)");
        let whole = piece(0, 9, 0, b"a=1,b=2");
        for cut in 0..HEAD + 7 {
            assert!(Pieces::of(9).push(&whole[..cut]).is_err(), "{cut}");
        }
        // Two pieces over each other are no answer.
        let mut pieces = Pieces::of(9);
        assert_eq!(pieces.push(&piece(IS_MORE, 9, 0, b"abcdef")), Ok(None));
        assert_eq!(pieces.push(&piece(0, 9, 3, b"xyz")), Ok(None));
    }

    #[test]
    fn bytes_that_mean_nothing_hide_no_variable() {
        let data = b"name=\"a, b=1\", filtdelay=T\xee\xf3\xab\"V 0 0.00,\r\nflash=0x1600,,x, \
                     srchost=\"LOCAL(0)\",stratum=6,last=\"open";
        let answer = Answer {
            status: 0,
            data: data.to_vec(),
        };
        let variables = answer.variables();
        assert_eq!(variables.text("name"), "a, b=1");
        assert_eq!(variables.bits("flash"), Some(0x1600));
        assert_eq!(variables.text("srchost"), "LOCAL(0)");
        assert_eq!(variables.bits("stratum"), Some(6));
        assert_eq!(variables.text("last"), "\"open");
    }

    #[test]
    fn questions_are_as_ntpq_asks_them() {
        let wanted = [0x16, 2, 0, 7, 0, 0, 0x1a, 0x2b, 0, 0, 0, 0];
        assert_eq!(Question::Variables(0x1a2b).encode(7), wanted);
        let answer = Answer {
            status: 0xc000,
            data: vec![0x1a, 0x2b, 0x96, 0x14, 0, 1, 0x80, 0, 9],
        };
        assert_eq!(answer.peers(), [(0x1a2b, 0x9614), (1, 0x8000)]);
        assert!(!answer.is_synchronised());
    }
}
