//! The number of a certificate.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;

/// A certificate's number: at most 20 bytes, without zeros in front.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// The bytes as they stand in a certificate.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes[zeros..].to_vec())
    }

    /// A new one: 16 bytes by chance, of which the first is neither zero nor
    /// negative, so that all are of one length.
    pub(crate) fn random() -> Self {
        let mut bytes = crate::random::<16>();
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes.to_vec())
    }

    /// The bytes, without zeros in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hexadecimal, with colons or without.
impl FromStr for Serial {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is not a serial number: 2 to 40 hexadecimal digits";
        let digits = text.replace(':', "");
        match HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
            Ok(bytes) if (1..=20).contains(&bytes.len()) => Ok(Self::from_bytes(&bytes)),
            _ => Err(WRONG),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_however_it_is_written() {
        let serial: Serial = "0a:FF".parse().unwrap();
        assert_eq!(serial, Serial::from_bytes(&[0, 0x0a, 0xff]));
        assert_eq!(serial.to_string(), "0aff");
        for text in ["", "a", "xy", &"00".repeat(21)] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }

    #[test]
    fn new_ones_are_positive_and_of_one_length() {
        for _ in 0..100 {
            let serial = Serial::random();
            assert_eq!(serial.as_bytes().len(), 16);
            assert!((0x40..0x80).contains(&serial.as_bytes()[0]), "{serial}");
        }
    }
}
