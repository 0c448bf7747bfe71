//! What chronyd answers to `tracking`, in the form of chrony 2 to 4 (version 6
//! of its protocol). Bytes and values only; who sends them is elsewhere.

const VERSION: u8 = 6;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const TRACKING: u16 = 33;
const TRACKING_REPLY: u16 = 5;
const SUCCESS: u16 = 0;

/// Before the values of an answer.
const HEAD: usize = 28;
/// An answer to `tracking`. A question must not be shorter: chronyd gives
/// nobody more bytes than it got.
const LENGTH: usize = HEAD + 76;

const UNSYNCHRONISED: u16 = 3;

/// How the clock is kept. Times in seconds, frequencies in parts per million.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tracking {
    pub(crate) reference: u32,
    /// As text; empty for a clock of the machine's own.
    pub(crate) address: String,
    pub(crate) stratum: u16,
    pub(crate) leap: u16,
    /// When the clock was last compared, since 1970.
    pub(crate) at: u64,
    /// What is still to be added to the clock.
    pub(crate) correction: f64,
    pub(crate) last_offset: f64,
    pub(crate) rms_offset: f64,
    pub(crate) frequency: f64,
    pub(crate) residual_frequency: f64,
    pub(crate) skew: f64,
    pub(crate) root_delay: f64,
    pub(crate) root_dispersion: f64,
    pub(crate) update_interval: f64,
}

impl Tracking {
    pub(crate) fn is_synchronised(&self) -> bool {
        self.leap != UNSYNCHRONISED
    }
}

/// The question. `sequence` comes back in the answer.
pub(crate) fn request(sequence: u32) -> [u8; LENGTH] {
    let mut request = [0; LENGTH];
    request[0] = VERSION;
    request[1] = REQUEST;
    request[4..6].copy_from_slice(&TRACKING.to_be_bytes());
    request[8..12].copy_from_slice(&sequence.to_be_bytes());
    request
}

/// The answer to the question with this number; none if this is not it.
pub(crate) fn parse(bytes: &[u8], sequence: u32) -> Result<Option<Tracking>, String> {
    let mut fields = Fields(bytes);
    let head = || "its answer is cut off".to_owned();
    let kind = fields.take::<4>().ok_or_else(head)?;
    let command = fields.u16().ok_or_else(head)?;
    let reply = fields.u16().ok_or_else(head)?;
    let status = fields.u16().ok_or_else(head)?;
    fields.take::<6>().ok_or_else(head)?;
    let number = fields.u32().ok_or_else(head)?;
    fields.take::<8>().ok_or_else(head)?;
    if kind[1] != REPLY || number != sequence {
        return Ok(None);
    }
    if kind[0] != VERSION {
        return Err(format!("it speaks version {} of its protocol", kind[0]));
    }
    if status != SUCCESS || command != TRACKING || reply != TRACKING_REPLY {
        return Err(format!("it refuses to answer (status {status})"));
    }
    fields.tracking().map(Some).ok_or_else(head)
}

/// What is left of an answer.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn tracking(&mut self) -> Option<Tracking> {
        Some(Tracking {
            reference: self.u32()?,
            address: self.address()?,
            stratum: self.u16()?,
            leap: self.u16()?,
            at: self.time()?,
            correction: self.float()?,
            last_offset: self.float()?,
            rms_offset: self.float()?,
            frequency: self.float()?,
            residual_frequency: self.float()?,
            skew: self.float()?,
            root_delay: self.float()?,
            root_dispersion: self.float()?,
            update_interval: self.float()?,
        })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Sixteen bytes, and what they are.
    fn address(&mut self) -> Option<String> {
        let bytes = self.take::<16>()?;
        let family = self.u16()?;
        self.u16()?;
        let [a, b, c, d, ..] = bytes;
        Some(match family {
            1 => std::net::Ipv4Addr::from([a, b, c, d]).to_string(),
            2 => std::net::Ipv6Addr::from(bytes).to_string(),
            _ => String::new(),
        })
    }

    /// Seconds in two halves, and nanoseconds. The upper half is said to be
    /// all ones by those who do not know it.
    fn time(&mut self) -> Option<u64> {
        let (high, low) = (self.u32()?, self.u32()?);
        self.u32()?;
        let high = if high == 0x7fff_ffff { 0 } else { high };
        Some(u64::from(high) << 32 | u64::from(low))
    }

    /// Seven bits of an exponent and 25 of a coefficient, both with a sign.
    fn float(&mut self) -> Option<f64> {
        let bits = self.u32()?.cast_signed();
        let exponent = (bits >> 25) - 25;
        let coefficient = (bits << 7) >> 7;
        Some(f64::from(coefficient) * f64::from(exponent).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As chronyd 4.3 answers it.
    fn answer(sequence: u32) -> Vec<u8> {
        let mut bytes = vec![VERSION, REPLY, 0, 0, 0, 33, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[192, 0, 2, 7, 192, 0, 2, 7]);
        bytes.extend_from_slice(&[0; 12]);
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 3, 0, 0]);
        for number in [0, 1_795_000_000, 5] {
            bytes.extend_from_slice(&u32::to_be_bytes(number));
        }
        // 1.0, -1.0, 0.5, 0, and so on: a coefficient of 2^23, and an exponent.
        for float in [
            0x0480_0000_u32,
            0x0580_0000,
            0x0280_0000,
            0,
            0,
            0,
            0,
            0,
            0x0e80_0000,
        ] {
            bytes.extend_from_slice(&float.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn tracking_is_read_and_nothing_shorter() {
        let bytes = answer(77);
        assert_eq!(bytes.len(), LENGTH);
        let tracking = parse(&bytes, 77).unwrap().unwrap();
        assert_eq!(tracking.address, "192.0.2.7");
        assert_eq!((tracking.stratum, tracking.leap), (3, 0));
        assert_eq!(tracking.at, 1_795_000_000);
        assert_eq!(tracking.correction, 1.0);
        assert_eq!(tracking.last_offset, -1.0);
        assert_eq!(tracking.rms_offset, 0.5);
        assert_eq!(tracking.update_interval, 32.0);
        assert!(tracking.is_synchronised());
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut], 77).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_not_the_answer_is_told_from_what_is_refused() {
        assert_eq!(parse(&answer(76), 77), Ok(None));
        let changed = |at: usize, byte: u8| {
            let mut bytes = answer(77);
            bytes[at] = byte;
            parse(&bytes, 77)
        };
        assert_eq!(changed(1, 1), Ok(None));
        let version = changed(0, 5).unwrap_err();
        assert_eq!(version, "it speaks version 5 of its protocol");
        let refused = changed(9, 2).unwrap_err();
        assert_eq!(refused, "it refuses to answer (status 2)");
    }
}
