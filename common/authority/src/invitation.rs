//! Invitations: who has the token of one may ask for a certificate, once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use objects::{SiteId, UnixTime};
use serde::{Deserialize, Serialize};

use crate::directory::{self, exists, make_directory, names, remove};
use crate::{Authority, Error, Fingerprint, Serial};

/// Where the invitations lie.
const INVITATIONS: &str = "invitations";
/// An invitation ends when so many wrong secrets have been tried.
pub(crate) const ATTEMPTS: u32 = 10;
/// Invitations are forgotten this long after their end.
const KEPT: i64 = 30 * 86_400;
/// What a token begins with: its kind and version.
const PREFIX: &str = "swjoin1.";
/// Longest token that is looked at.
const MAX_TOKEN: usize = 2048;
/// Longest address.
const MAX_ADDRESS: usize = 255;

/// The name of an invitation: random, so that it cannot be guessed either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvitationId([u8; 16]);

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for InvitationId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or("is not the id of an invitation: 32 hexadecimal digits")
    }
}

/// What only the invited one knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Reads what [`Self::to_hex`] prints.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// For the message to the centre.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    fn matches(&self, hash: &Fingerprint) -> bool {
        let own = Fingerprint::of(&self.0);
        constant_time::verify_slices_are_equal(own.as_bytes(), hash.as_bytes()).is_ok()
    }
}

/// It must not get into a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a site is given to join: one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which invitation it is.
    pub invitation: InvitationId,
    /// The proof.
    pub secret: Secret,
    /// The certificate of the authority.
    pub authority: Fingerprint,
    /// Until when it can be used, by the clock of the centre.
    pub expires: UnixTime,
    /// Who is invited.
    pub site: SiteId,
    /// Who invites.
    pub centre: SiteId,
    /// Where it listens: `HOST:PORT`.
    pub address: String,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        bytes.extend(self.invitation.0);
        bytes.extend(self.secret.0);
        bytes.extend(self.authority.as_bytes());
        bytes.extend(self.expires.secs().to_be_bytes());
        for text in [self.site.as_str(), self.centre.as_str(), &self.address] {
            // None is longer than 255.
            bytes.push(u8::try_from(text.len()).map_err(|_| fmt::Error)?);
            bytes.extend(text.as_bytes());
        }
        let sum = checksum(&bytes);
        bytes.extend(sum);
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let encoded = text
            .strip_prefix(PREFIX)
            .ok_or(Error::Token("it does not begin with \"swjoin1.\""))?;
        if encoded.len() > MAX_TOKEN {
            return Err(Error::Token("it is too long"));
        }
        let bytes = BASE64URL_NOPAD
            .decode(encoded.as_bytes())
            .map_err(|_| Error::Token("it was not copied whole"))?;
        let (bytes, sum) = bytes
            .split_last_chunk::<4>()
            .ok_or(Error::Token("it was not copied whole"))?;
        if checksum(bytes) != *sum {
            return Err(Error::Token("it was not copied whole"));
        }
        Self::read(bytes).ok_or(Error::Token("what is in it makes no sense"))
    }
}

impl Token {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (invitation, rest) = bytes.split_first_chunk::<16>()?;
        let (secret, rest) = rest.split_first_chunk::<32>()?;
        let (authority, rest) = rest.split_first_chunk::<32>()?;
        let (expires, mut rest) = rest.split_first_chunk::<8>()?;
        let mut text = || {
            let (len, after) = rest.split_first()?;
            let (text, after) = after.split_at_checked(usize::from(*len))?;
            rest = after;
            std::str::from_utf8(text).ok()
        };
        let (site, centre, address) = (text()?, text()?, text()?);
        (rest.is_empty() && is_address(address)).then_some(())?;
        Some(Self {
            invitation: InvitationId(*invitation),
            secret: Secret(*secret),
            authority: Fingerprint::from_bytes(*authority),
            expires: UnixTime::from_secs(i64::from_be_bytes(*expires)),
            site: SiteId::new(site).ok()?,
            centre: SiteId::new(centre).ok()?,
            address: address.to_owned(),
        })
    }
}

/// Against slips while copying, not against anybody.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let hash = digest::digest(&digest::SHA256, bytes);
    let mut sum = [0; 4];
    sum.copy_from_slice(&hash.as_ref()[..4]);
    sum
}

/// Whether it is `HOST:PORT` or `[ADDRESS]:PORT`. It gets into a configuration
/// file, so it is of harmless characters only.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_%".contains(c);
    let good_host = match inner {
        Some(ip) => ip.contains(':') && ip.chars().all(|c| allowed(c) || c == ':'),
        None => host.chars().all(allowed),
    };
    let digits = port.chars().all(|c| c.is_ascii_digit());
    good_host
        && !host.is_empty()
        && text.len() <= MAX_ADDRESS
        && digits
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// An invitation as the centre remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Who is invited.
    pub site: SiteId,
    /// When, in seconds since 1970.
    pub created: i64,
    /// Until when, in seconds since 1970.
    pub expires: i64,
    /// How many wrong secrets were tried.
    pub attempts: u32,
    /// What became of it.
    pub used: Option<Used>,
    secret: Fingerprint,
}

/// Who has used an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// When, in seconds since 1970.
    pub time: i64,
    /// The key it was used with: who has it may ask again, for the answer may
    /// have been lost.
    pub key: Fingerprint,
    /// The number of the certificate.
    pub serial: String,
}

impl Used {
    pub(crate) fn serial(&self) -> Option<Serial> {
        self.serial.parse().ok()
    }
}

/// Where an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be used.
    Open,
    /// It has been used.
    Used,
    /// Its time is over.
    Expired,
    /// Too many wrong secrets were tried.
    Blocked,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Blocked => "blocked",
        })
    }
}

impl Invitation {
    /// Where it stands.
    pub fn standing(&self, now: UnixTime) -> Standing {
        if self.used.is_some() {
            Standing::Used
        } else if self.attempts >= ATTEMPTS {
            Standing::Blocked
        } else if now.secs() >= self.expires {
            Standing::Expired
        } else {
            Standing::Open
        }
    }

    pub(crate) fn is_proved_by(&self, secret: &Secret) -> bool {
        secret.matches(&self.secret)
    }
}

/// The centre, as it is to be found by those who are invited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Centre {
    /// Its site.
    pub site: SiteId,
    /// Where it listens.
    pub address: String,
}

impl Authority {
    /// Invites a site. Earlier invitations of the site that nobody has used end.
    pub fn invite(
        &self,
        site: &SiteId,
        centre: &Centre,
        valid: Duration,
        now: UnixTime,
    ) -> Result<Token, Error> {
        crate::ca::check_name(site)?;
        if *site == centre.site {
            let what = format!("{site} is the centre itself");
            return Err(Error::Unknown(what));
        }
        if !is_address(&centre.address) {
            let what = format!("{:?} is not an address: HOST:PORT", centre.address);
            return Err(Error::Unknown(what));
        }
        self.forget_old_invitations(now)?;
        self.withdraw_site(site)?;
        let (id, secret) = (InvitationId(crate::random()), Secret(crate::random()));
        let valid = i64::try_from(valid.as_secs()).unwrap_or(i64::MAX);
        let expires = now.secs().saturating_add(valid);
        let invitation = Invitation {
            site: site.clone(),
            created: now.secs(),
            expires,
            attempts: 0,
            used: None,
            secret: Fingerprint::of(&secret.0),
        };
        self.write_invitation(&id, &invitation)?;
        Ok(Token {
            invitation: id,
            secret,
            authority: self.certificate().fingerprint,
            expires: UnixTime::from_secs(expires),
            site: site.clone(),
            centre: centre.site.clone(),
            address: centre.address.clone(),
        })
    }

    /// All invitations, the oldest first.
    pub fn invitations(&self) -> Result<Vec<(InvitationId, Invitation)>, Error> {
        let mut invitations = Vec::new();
        for name in names(&self.directory.file(INVITATIONS))? {
            let Ok(id) = name.parse::<InvitationId>() else {
                continue;
            };
            invitations.extend(self.invitation(&id)?.map(|invitation| (id, invitation)));
        }
        invitations.sort_by_key(|(id, invitation)| (invitation.created, *id));
        Ok(invitations)
    }

    /// Ends an invitation; whether there was one.
    pub fn withdraw(&self, id: &InvitationId) -> Result<bool, Error> {
        let path = self.invitation_path(id);
        let found = exists(&path)?;
        if found {
            remove(&path)?;
        }
        Ok(found)
    }

    /// Ends all invitations of a site that nobody has used; how many.
    pub fn withdraw_site(&self, site: &SiteId) -> Result<usize, Error> {
        let mut count = 0;
        for (id, invitation) in self.invitations()? {
            if invitation.site == *site && invitation.used.is_none() {
                self.withdraw(&id)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn forget_old_invitations(&self, now: UnixTime) -> Result<(), Error> {
        for (id, invitation) in self.invitations()? {
            if invitation.expires.saturating_add(KEPT) < now.secs() {
                self.withdraw(&id)?;
            }
        }
        Ok(())
    }

    pub(crate) fn invitation(&self, id: &InvitationId) -> Result<Option<Invitation>, Error> {
        let path = self.invitation_path(id);
        if !exists(&path)? {
            return Ok(None);
        }
        let text = directory::read_secret(&path)?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Error::bad(&path, format!("is not an invitation: {error}")))
    }

    pub(crate) fn write_invitation(
        &self,
        id: &InvitationId,
        invitation: &Invitation,
    ) -> Result<(), Error> {
        make_directory(&self.directory.file(INVITATIONS))?;
        let path = self.invitation_path(id);
        let text = serde_json::to_string(invitation)
            .map_err(|error| Error::bad(&path, format!("cannot be printed: {error}")))?;
        directory::write_secret(&path, &(text + "\n"))
    }

    fn invitation_path(&self, id: &InvitationId) -> std::path::PathBuf {
        self.directory.file(INVITATIONS).join(id.to_string())
    }
}
