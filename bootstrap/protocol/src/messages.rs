//! Requests and answers of the login protocol, `/callbook/<network>/login/1`.
//!
//! A message is a CBOR array `[kind, body]`, the body a map with integer keys, all of it at most
//! [`MESSAGE_BYTES_MAX`] bytes. Kinds 1–127 ask, kind + 128 answers, 255 is a refusal. Unknown fields
//! are skipped; an unknown kind is answered [`Refusal::Unsupported`]. A device is certified by the
//! message that ends its enrolment or login, so that needs no request of its own. Proofs are signatures
//! over a [`Claim`](crate::claim::Claim).
//!
//! *Not here*: transport (bytes go through `callbook-host` as they are), the steps of OPAQUE.

use bytes::Bytes;
use callbook_overlay::key::PublicKey;
use callbook_overlay::time::Unix;
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::opaque::Stretch;
use crate::refusal::{self, Refusal};

/// Bytes that a request or an answer may have. (specification: as a frame of the overlay)
pub const MESSAGE_BYTES_MAX: usize = 65_536;

/// Superpeers that an answer to [`Request::Seeds`] names at most: a bucket's worth. (guess)
pub const SEEDS_MAX: usize = 20;

/// The bytes are no message; the peer is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The peer: longer than [`MESSAGE_BYTES_MAX`].
    #[error("a login message of {0} bytes is too long")]
    TooLong(usize),
    /// The peer: not the CBOR that was expected.
    #[error("a login message cannot be read: {0}")]
    Malformed(#[from] minicbor::decode::Error),
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// 1: begin to create an account. → [`Response::EnrolStarted`]
    EnrolStart(EnrolStart),
    /// 2: create the account and certify its first device. → [`Response::Certified`]
    EnrolFinish(Box<EnrolFinish>),
    /// 3: begin to log in. → [`Response::LoginStarted`]
    LoginStart(Box<LoginStart>),
    /// 4: log in and certify a device. → [`Response::Certified`]
    LoginFinish(Box<LoginFinish>),
    /// 5: certify (or renew) the asking peer as a superpeer. → [`Response::NodeCertified`]
    CertifyNode(CertifyNode),
    /// 6: renew a device certificate. → [`Response::Certified`]
    Renew(DeviceRequest),
    /// 7: revoke a device certificate. → [`Response::Revoked`]
    Revoke(Revoke),
    /// 8: list the account's devices. → [`Response::Devices`]
    Devices(DeviceRequest),
    /// 9: name some superpeers. → [`Response::Seeds`]
    Seeds(Seeds),
    /// 10: scrape my metrics, at this port of the address that I come from. → [`Response::Announced`]
    Announce(Announce),
    /// A request of the future.
    Unsupported {
        /// Its kind.
        kind: u16,
    },
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// 129.
    EnrolStarted(EnrolStarted),
    /// 131.
    LoginStarted(Box<LoginStarted>),
    /// 130, 132, 134: the device has a certificate.
    Certified(Certified),
    /// 133: the peer has a node certificate.
    NodeCertified(NodeCertified),
    /// 135: the certificate is revoked; the overlay hears of it soon.
    Revoked,
    /// 136.
    Devices(Vec<DeviceEntry>),
    /// 137: encoded hints, the server itself last.
    Seeds(Vec<Bytes>),
    /// 138: it is listed for a while.
    Announced(Announced),
    /// 255.
    Refused(Refusal),
}

/// Begin to create an account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrolStart {
    /// The name, as the user typed it.
    #[n(0)]
    pub username: String,
    /// OPAQUE's registration request.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub request: [u8; 32],
}

/// The server's part of the registration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrolStarted {
    /// OPAQUE's registration response.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub response: [u8; 64],
    /// How the password is to be stretched.
    #[n(1)]
    pub stretch: Stretch,
}

/// Create the account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrolFinish {
    /// The name.
    #[n(0)]
    pub username: String,
    /// OPAQUE's registration upload.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub upload: [u8; 192],
    /// How the password was stretched.
    #[n(2)]
    pub stretch: Stretch,
    /// The account's first device.
    #[n(3)]
    pub device: PublicKey,
    /// By the device key over [`Claim::Enrol`](crate::claim::Claim::Enrol).
    #[cbor(n(4), with = "minicbor::bytes")]
    pub proof: [u8; 64],
}

/// Begin to log in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LoginStart {
    /// The name.
    #[n(0)]
    pub username: String,
    /// OPAQUE's credential request (KE1).
    #[cbor(n(1), with = "minicbor::bytes")]
    pub request: [u8; 96],
}

/// The server's part of the login.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LoginStarted {
    /// Names the attempt.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub session: [u8; 16],
    /// OPAQUE's credential response (KE2).
    #[cbor(n(1), with = "minicbor::bytes")]
    pub response: [u8; 320],
    /// How the account's password is stretched.
    #[n(2)]
    pub stretch: Stretch,
}

/// Log in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LoginFinish {
    /// Which attempt.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub session: [u8; 16],
    /// OPAQUE's credential finalization (KE3).
    #[cbor(n(1), with = "minicbor::bytes")]
    pub finalization: [u8; 64],
    /// The device to certify.
    #[n(2)]
    pub device: PublicKey,
    /// By the device key over [`Claim::Login`](crate::claim::Claim::Login).
    #[cbor(n(3), with = "minicbor::bytes")]
    pub proof: [u8; 64],
    /// Binds the device key to the session key ([`crate::opaque::device_seal`]).
    #[cbor(n(4), with = "minicbor::bytes")]
    pub seal: [u8; 32],
}

/// Certify the asking peer as a superpeer.
///
/// # Shape
/// With `token`: a new node by token. With `vouch`: a new node on an account. With neither: renewal
/// of a node that has had a certificate. The node key proves itself by being the connection's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct CertifyNode {
    /// A node token.
    #[n(0)]
    pub token: Option<ByteArray<32>>,
    /// An account that vouches.
    #[n(1)]
    pub vouch: Option<DeviceRequest>,
}

/// A request that a device makes for its account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceRequest {
    /// The account.
    #[n(0)]
    pub username: String,
    /// The device.
    #[n(1)]
    pub device: PublicKey,
    /// By the device key over the claim that belongs to the request.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub proof: [u8; 64],
}

/// Revoke a device certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Revoke {
    /// The account.
    #[n(0)]
    pub username: String,
    /// The device that asks.
    #[n(1)]
    pub device: PublicKey,
    /// The device to revoke; may be the one that asks.
    #[n(2)]
    pub target: PublicKey,
    /// By `device` over [`Claim::Revoke`](crate::claim::Claim::Revoke).
    #[cbor(n(3), with = "minicbor::bytes")]
    pub proof: [u8; 64],
}

/// Name some superpeers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Seeds {
    /// At most so many; the server caps it at [`SEEDS_MAX`].
    #[n(0)]
    pub count: u8,
}

/// Scrape my metrics.
///
/// The address is the one that the request comes from: nobody can have others scraped. Who has no node
/// certificate needs a device certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Announce {
    /// The port of the metrics listener; 0: scrape them no more.
    #[n(0)]
    pub port: u16,
    /// A device that vouches for the peer that asks, unless that is a certified node.
    #[n(1)]
    pub vouch: Option<DeviceRequest>,
}

/// Metrics are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Announced {
    /// For so long, in seconds; to be announced again before.
    #[n(0)]
    pub secs: u32,
}

/// A device has a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Certified {
    /// The login certificate, as it travels.
    #[n(0)]
    login: ByteVec,
    /// The device certificate, as it travels.
    #[n(1)]
    device: ByteVec,
}

impl Certified {
    /// From the two certificates as they travel.
    #[must_use]
    pub fn new(login: &[u8], device: &[u8]) -> Self {
        Self { login: login.to_vec().into(), device: device.to_vec().into() }
    }

    /// The chain of a device record: login certificate, then device certificate.
    #[must_use]
    pub fn chain(&self) -> Vec<Bytes> {
        vec![Bytes::copy_from_slice(&self.login), self.device()]
    }

    /// The device certificate as it travels.
    #[must_use]
    pub fn device(&self) -> Bytes {
        Bytes::copy_from_slice(&self.device)
    }
}

/// A peer has a node certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NodeCertified {
    #[n(0)]
    certificate: ByteVec,
}

impl NodeCertified {
    /// From the certificate as it travels.
    #[must_use]
    pub fn new(certificate: &[u8]) -> Self {
        Self { certificate: certificate.to_vec().into() }
    }

    /// The certificate as it travels.
    #[must_use]
    pub fn certificate(&self) -> Bytes {
        Bytes::copy_from_slice(&self.certificate)
    }
}

/// One device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceEntry {
    /// Its key.
    #[n(0)]
    pub device: PublicKey,
    /// Its serial number.
    #[n(1)]
    pub serial: u64,
    /// Seconds since 1970 of the newest certificate.
    #[n(2)]
    issued: u64,
    /// Seconds since 1970 when that ends.
    #[n(3)]
    not_after: u64,
}

impl DeviceEntry {
    /// From its parts.
    #[must_use]
    pub fn new(device: PublicKey, serial: u64, issued: Unix, not_after: Unix) -> Self {
        Self { device, serial, issued: issued.as_secs(), not_after: not_after.as_secs() }
    }

    /// When the newest certificate was issued.
    #[must_use]
    pub fn issued(&self) -> Unix {
        Unix::from_secs(self.issued)
    }

    /// When the newest certificate ends.
    #[must_use]
    pub fn not_after(&self) -> Unix {
        Unix::from_secs(self.not_after)
    }
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
struct List<T> {
    #[n(0)]
    entries: Vec<T>,
}

impl Request {
    /// The message as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::EnrolStart(body) => write(1, body),
            Self::EnrolFinish(body) => write(2, &**body),
            Self::LoginStart(body) => write(3, &**body),
            Self::LoginFinish(body) => write(4, &**body),
            Self::CertifyNode(body) => write(5, body),
            Self::Renew(body) => write(6, body),
            Self::Revoke(body) => write(7, body),
            Self::Devices(body) => write(8, body),
            Self::Seeds(body) => write(9, body),
            Self::Announce(body) => write(10, body),
            Self::Unsupported { kind } => write(*kind, &List::<u8> { entries: Vec::new() }),
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// The peer: see [`MessageError`]. An unknown kind is none.
    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, mut d) = open(bytes)?;
        Ok(match kind {
            1 => Self::EnrolStart(close(&mut d)?),
            2 => Self::EnrolFinish(Box::new(close(&mut d)?)),
            3 => Self::LoginStart(Box::new(close(&mut d)?)),
            4 => Self::LoginFinish(Box::new(close(&mut d)?)),
            5 => Self::CertifyNode(close(&mut d)?),
            6 => Self::Renew(close(&mut d)?),
            7 => Self::Revoke(close(&mut d)?),
            8 => Self::Devices(close(&mut d)?),
            9 => Self::Seeds(close(&mut d)?),
            10 => Self::Announce(close(&mut d)?),
            kind => Self::Unsupported { kind },
        })
    }
}

impl Response {
    /// The message as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::EnrolStarted(body) => write(129, body),
            Self::LoginStarted(body) => write(131, &**body),
            Self::Certified(body) => write(130, body),
            Self::NodeCertified(body) => write(133, body),
            Self::Revoked => write(135, &List::<u8> { entries: Vec::new() }),
            Self::Devices(entries) => write(136, &List { entries: entries.clone() }),
            Self::Seeds(hints) => {
                let entries = hints.iter().take(SEEDS_MAX).map(|hint| ByteVec::from(hint.to_vec())).collect();
                write(137, &List::<ByteVec> { entries })
            }
            Self::Announced(body) => write(138, body),
            Self::Refused(refusal) => write(255, &refusal.to_wire()),
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The peer: see [`MessageError`]. An unknown kind is one, since nobody asked for it.
    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, mut d) = open(bytes)?;
        Ok(match kind {
            129 => Self::EnrolStarted(close(&mut d)?),
            131 => Self::LoginStarted(Box::new(close(&mut d)?)),
            130 | 132 | 134 => Self::Certified(close(&mut d)?),
            133 => Self::NodeCertified(close(&mut d)?),
            135 => Self::Revoked,
            136 => Self::Devices(close::<List<_>>(&mut d)?.entries),
            137 => {
                let list: List<ByteVec> = close(&mut d)?;
                Self::Seeds(
                    list.entries
                        .into_iter()
                        .take(SEEDS_MAX)
                        .map(|hint| Bytes::from(Vec::from(hint)))
                        .collect(),
                )
            }
            138 => Self::Announced(close(&mut d)?),
            255 => Self::Refused(Refusal::from_wire(&close::<refusal::Wire>(&mut d)?)),
            _ => return Err(minicbor::decode::Error::message("an answer of unknown kind").into()),
        })
    }
}

fn write<T: Encode<()>>(kind: u16, body: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    let mut e = Encoder::new(&mut bytes);
    // Writing to a Vec can't fail, and none of the types above refuses to be encoded.
    #[expect(clippy::expect_used, reason = "a failure here is a bug of this module")]
    e.array(2).and_then(|e| e.u16(kind)).and_then(|e| e.encode(body)).expect("encoding into memory");
    bytes.into()
}

fn open(bytes: &[u8]) -> Result<(u16, Decoder<'_>), MessageError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(MessageError::TooLong(bytes.len()));
    }
    let mut d = Decoder::new(bytes);
    if d.array()? != Some(2) {
        return Err(minicbor::decode::Error::message("a login message is [kind, body]").into());
    }
    Ok((d.u16()?, d))
}

fn close<'b, T: Decode<'b, ()>>(d: &mut Decoder<'b>) -> Result<T, MessageError> {
    let body = d.decode()?;
    if d.position() == d.input().len() {
        Ok(body)
    } else {
        Err(minicbor::decode::Error::message("trailing bytes").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let (device, proof, username) = (PublicKey::from_bytes([1; 32]), [2; 64], String::from("alice"));
        let asked = DeviceRequest { username: username.clone(), device, proof };
        let stretch = Stretch::NORMAL;
        vec![
            Request::EnrolStart(EnrolStart { username: username.clone(), request: [3; 32] }),
            Request::EnrolFinish(Box::new(EnrolFinish {
                username: username.clone(),
                upload: [4; 192],
                stretch,
                device,
                proof,
            })),
            Request::LoginStart(Box::new(LoginStart { username: username.clone(), request: [5; 96] })),
            Request::LoginFinish(Box::new(LoginFinish {
                session: [6; 16],
                finalization: [7; 64],
                device,
                proof,
                seal: [8; 32],
            })),
            Request::CertifyNode(CertifyNode { token: Some([9; 32].into()), vouch: None }),
            Request::CertifyNode(CertifyNode { token: None, vouch: Some(asked.clone()) }),
            Request::Renew(asked.clone()),
            Request::Revoke(Revoke { username, device, target: device, proof }),
            Request::Devices(asked),
            Request::Seeds(Seeds { count: 5 }),
            Request::Announce(Announce { port: 9_464, vouch: None }),
            Request::Unsupported { kind: 99 },
        ]
    }

    fn responses() -> Vec<Response> {
        let device = PublicKey::from_bytes([1; 32]);
        let entry = DeviceEntry::new(device, 7, Unix::from_secs(1), Unix::from_secs(2));
        let retry_after = std::time::Duration::from_secs(9);
        vec![
            Response::EnrolStarted(EnrolStarted { response: [1; 64], stretch: Stretch::LAB }),
            Response::LoginStarted(Box::new(LoginStarted {
                session: [2; 16],
                response: [3; 320],
                stretch: Stretch::NORMAL,
            })),
            Response::Certified(Certified::new(b"login", b"device")),
            Response::NodeCertified(NodeCertified::new(b"node")),
            Response::Revoked,
            Response::Devices(vec![entry]),
            Response::Seeds(vec![Bytes::from_static(b"hint")]),
            Response::Announced(Announced { secs: 600 }),
            Response::Refused(Refusal::RateLimited { retry_after }),
        ]
    }

    #[test]
    fn every_message_is_read_back_as_it_was_written() {
        // Goal: the codec loses nothing. Method: one message of each kind.
        for request in requests() {
            assert_eq!(Request::read(&request.to_bytes()).unwrap(), request);
        }
        for response in responses() {
            assert_eq!(Response::read(&response.to_bytes()).unwrap(), response);
        }
    }

    #[test]
    fn no_shortened_or_lengthened_message_is_read_and_none_panics() {
        // Goal: bytes from a peer never panic, and lengths are exact. Method: every prefix, one byte
        // more, and every byte set to 0xff.
        for bytes in
            requests().iter().map(Request::to_bytes).chain(responses().iter().map(Response::to_bytes))
        {
            for end in 0..bytes.len() {
                if let Ok(read) = Request::read(&bytes[..end]) {
                    assert!(matches!(read, Request::Unsupported { .. }));
                }
                if let Ok(read) = Response::read(&bytes[..end]) {
                    assert_eq!(read, Response::Revoked);
                }
            }
            for index in 0..bytes.len() {
                let mut changed = bytes.to_vec();
                changed[index] = 0xff;
                drop((Request::read(&changed), Response::read(&changed)));
            }
        }
        let long = vec![0; MESSAGE_BYTES_MAX + 1];
        assert!(matches!(Request::read(&long), Err(MessageError::TooLong(_))));
    }
}
