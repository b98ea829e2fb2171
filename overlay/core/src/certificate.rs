//! Certificates: who may sign what, and where a superpeer stands.
//!
//! A root key certifies login keys; a login key certifies device keys (for a name) and node keys (for
//! a place in the key space). Each travels as `[body, signature]`; the body is a CBOR map with integer
//! keys, `v` and the role first, and the signature covers its bytes as they travel. Reading
//! (`parse`) checks form and length of life, `verify` the signature, [`valid_at`] the clock.
//!
//! Source: DESIGN §2 and §3. *Not here*: walking a record's chain and remembering what was verified
//! ([`record::verify`](crate::record::verify)).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Deref, Range};
use core::time::Duration;

use bytes::Bytes;
use minicbor::{Decoder, Encoder};

use crate::cbor;
use crate::invalid::{Invalid, Subject};
use crate::key::{Key, NetworkId, PeerId, PublicKey, node_id};
use crate::limits::{CERTIFICATE_BYTES_MAX, CLOCK_TOLERANCE};
pub use crate::limits::{DEVICE_LIFE, LOGIN_LIFE, NODE_LIFE, RENEW_BELOW};
use crate::network::Network;
use crate::record::ChainCache;
use crate::sign::{Signature, Signer, Tag, Verifier, to_sign};
use crate::time::Unix;

const VERSION: u8 = 1;

/// A login key's certificate, signed by a root key.
///
/// # Shape
/// Body: `{0: v, 1: role 1, 2: key, 3: not_before, 4: not_after}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginCertificate {
    /// The login key.
    pub key: PublicKey,
    /// Valid from.
    pub not_before: Unix,
    /// Valid until, at most [`LOGIN_LIFE`] later.
    pub not_after: Unix,
}

/// A device key's certificate for one name, signed by a login key.
///
/// # Shape
/// Body: `{0: v, 1: role 2, 2: name, 3: device, 4: epoch, 5: serial, 6: not_before, 7: not_after}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceCertificate {
    /// The name, as its place in the key space.
    pub name: Key,
    /// The device key.
    pub device: PublicKey,
    /// The account's epoch when it was issued.
    pub epoch: u32,
    /// Names this certificate's device in revocations.
    pub serial: u64,
    /// Valid from.
    pub not_before: Unix,
    /// Valid until, at most [`DEVICE_LIFE`] later.
    pub not_after: Unix,
}

/// A superpeer's certificate, signed by a login key: with the network id it fixes the place.
///
/// Whoever knows the superpeer has it, so copies share one allocation.
///
/// # Shape
/// Body: `{0: v, 1: role 3, 2: node, 3: nonce, 4: not_before, 5: not_after}`; 139 bytes in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate(Arc<NodeFields>);

/// What a [`NodeCertificate`] says.
#[derive(Debug, PartialEq, Eq)]
pub struct NodeFields {
    /// The node key.
    pub node: PeerId,
    /// Drawn by the login server after the node key was fixed.
    pub nonce: [u8; 16],
    /// Valid from.
    pub not_before: Unix,
    /// Valid until, at most [`NODE_LIFE`] later.
    pub not_after: Unix,
    bytes: Bytes,
}

impl Deref for NodeCertificate {
    type Target = NodeFields;

    fn deref(&self) -> &NodeFields {
        &self.0
    }
}

/// The numbers of the roles, as field 1 of a body.
mod role {
    pub(super) const LOGIN: u8 = 1;
    pub(super) const DEVICE: u8 = 2;
    pub(super) const NODE: u8 = 3;
}

impl LoginCertificate {
    /// Signs it with a root key; the bytes are what travels.
    #[must_use]
    pub fn issue(&self, network: &NetworkId, root: &dyn Signer) -> Bytes {
        let body = cbor::written(|e| {
            head(e, 5, role::LOGIN)?;
            e.u8(2)?.bytes(self.key.as_bytes())?;
            life(e, 3, self.not_before, self.not_after)
        });
        seal(Tag::LoginCertificate, network, &body, root)
    }

    /// Reads one without checking its signature.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let signed = Signed::open(bytes)?;
        let mut d = signed.fields(5, role::LOGIN)?;
        cbor::key(&mut d, 2)?;
        let key = PublicKey::from_bytes(cbor::fixed(&mut d)?);
        let Range { start, end } = read_life(&mut d, 3, LOGIN_LIFE, Subject::LoginCertificate)?;
        Ok(Self { key, not_before: start, not_after: end })
    }

    /// Reads one and checks that a root key of the network signed it. Does not look at the clock.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn verify(bytes: &[u8], network: &Network, verifier: &dyn Verifier) -> Result<Self, Invalid> {
        let certificate = Self::parse(bytes)?;
        let signed = Signed::open(bytes)?;
        let message = to_sign(Tag::LoginCertificate, &network.id, signed.body);
        if network.roots.iter().any(|root| verifier.verify(root, &message, &signed.signature)) {
            Ok(certificate)
        } else {
            Err(Invalid::Signature(Subject::LoginCertificate))
        }
    }
}

impl DeviceCertificate {
    /// Signs it with a login key; the bytes are what travels.
    #[must_use]
    pub fn issue(&self, network: &NetworkId, login: &dyn Signer) -> Bytes {
        let body = cbor::written(|e| {
            head(e, 8, role::DEVICE)?;
            e.u8(2)?.bytes(self.name.as_bytes())?;
            e.u8(3)?.bytes(self.device.as_bytes())?;
            e.u8(4)?.u32(self.epoch)?.u8(5)?.u64(self.serial)?;
            life(e, 6, self.not_before, self.not_after)
        });
        seal(Tag::DeviceCertificate, network, &body, login)
    }

    /// Reads one without checking its signature.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let signed = Signed::open(bytes)?;
        let mut d = signed.fields(8, role::DEVICE)?;
        cbor::key(&mut d, 2)?;
        let name = Key::from_bytes(cbor::fixed(&mut d)?);
        cbor::key(&mut d, 3)?;
        let device = PublicKey::from_bytes(cbor::fixed(&mut d)?);
        cbor::key(&mut d, 4)?;
        let epoch = d.u32()?;
        cbor::key(&mut d, 5)?;
        let serial = d.u64()?;
        let Range { start, end } = read_life(&mut d, 6, DEVICE_LIFE, Subject::DeviceCertificate)?;
        Ok(Self { name, device, epoch, serial, not_before: start, not_after: end })
    }

    /// Reads one and checks that this login key signed it. Does not look at the clock.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn verify(
        bytes: &[u8],
        login: &PublicKey,
        network: &NetworkId,
        verifier: &dyn Verifier,
    ) -> Result<Self, Invalid> {
        let certificate = Self::parse(bytes)?;
        let signed = Signed::open(bytes)?;
        let message = to_sign(Tag::DeviceCertificate, network, signed.body);
        if verifier.verify(login, &message, &signed.signature) {
            Ok(certificate)
        } else {
            Err(Invalid::Signature(Subject::DeviceCertificate))
        }
    }
}

impl NodeCertificate {
    /// Makes one, signed with a login key; `life` is `not_before..not_after`.
    #[must_use]
    pub fn issue(
        node: PeerId,
        nonce: [u8; 16],
        life: Range<Unix>,
        network: &NetworkId,
        login: &dyn Signer,
    ) -> Self {
        let Range { start, end } = life;
        let body = cbor::written(|e| {
            head(e, 6, role::NODE)?;
            e.u8(2)?.bytes(node.as_bytes())?.u8(3)?.bytes(&nonce)?;
            self::life(e, 4, start, end)
        });
        let bytes = seal(Tag::NodeCertificate, network, &body, login);
        Self(Arc::new(NodeFields { node, nonce, not_before: start, not_after: end, bytes }))
    }

    /// Reads one without checking its signature. Its bytes are copied, for it is kept for long.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let signed = Signed::open(bytes)?;
        let mut d = signed.fields(6, role::NODE)?;
        cbor::key(&mut d, 2)?;
        let node = PeerId::from_bytes(cbor::fixed(&mut d)?);
        cbor::key(&mut d, 3)?;
        let nonce = cbor::fixed(&mut d)?;
        let Range { start, end } = read_life(&mut d, 4, NODE_LIFE, Subject::NodeCertificate)?;
        let bytes = Bytes::copy_from_slice(bytes);
        Ok(Self(Arc::new(NodeFields { node, nonce, not_before: start, not_after: end, bytes })))
    }

    /// Checks that a login key of the network signed it and that it is valid now.
    ///
    /// # Time
    /// One signature check, and one more for each login certificate of the network; with
    /// [`Self::verify_cached`] those are made once.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn verify(&self, network: &Network, now: Unix, verifier: &dyn Verifier) -> Result<(), Invalid> {
        self.verify_cached(network, now, &mut ChainCache::default(), verifier)
    }

    /// As [`Self::verify`], remembering the login certificates that were verified.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn verify_cached(
        &self,
        network: &Network,
        now: Unix,
        cache: &mut ChainCache,
        verifier: &dyn Verifier,
    ) -> Result<(), Invalid> {
        valid_at(&(self.not_before..self.not_after), now, Subject::NodeCertificate)?;
        let signed = Signed::open(&self.bytes)?;
        let message = to_sign(Tag::NodeCertificate, &network.id, signed.body);
        let known = network.login.iter().any(|login| {
            cache.login(login, network, verifier).is_ok_and(|login| {
                valid_at(&(login.not_before..login.not_after), now, Subject::LoginCertificate).is_ok()
                    && verifier.verify(&login.key, &message, &signed.signature)
            })
        });
        if known { Ok(()) } else { Err(Invalid::Signature(Subject::NodeCertificate)) }
    }

    /// As it travels.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The superpeer's place on this network.
    #[must_use]
    pub fn node_id(&self, network: &NetworkId) -> Key {
        node_id(network, &self.node, &self.nonce)
    }
}

/// Checks a life (`not_before..not_after`) against the clock, with [`CLOCK_TOLERANCE`] at both ends.
///
/// # Errors
/// [`Invalid::Future`] and [`Invalid::Expired`].
pub fn valid_at(life: &Range<Unix>, now: Unix, subject: Subject) -> Result<(), Invalid> {
    if now + CLOCK_TOLERANCE < life.start {
        Err(Invalid::Future(subject))
    } else if life.end + CLOCK_TOLERANCE < now {
        Err(Invalid::Expired(subject))
    } else {
        Ok(())
    }
}

/// Whether a life is not reversed and no longer than `max`.
pub(crate) fn allowed_life(
    life: Range<Unix>,
    max: Duration,
    subject: Subject,
) -> Result<Range<Unix>, Invalid> {
    if life.start <= life.end && life.end.since(life.start) <= max {
        Ok(life)
    } else {
        Err(Invalid::Life(subject))
    }
}

/// A certificate taken apart; both parts are in strict form.
struct Signed<'a> {
    body: &'a [u8],
    signature: Signature,
}

impl<'a> Signed<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Invalid> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(Invalid::Size { bytes: bytes.len(), max: CERTIFICATE_BYTES_MAX });
        }
        cbor::strict(bytes)?;
        let mut d = Decoder::new(bytes);
        cbor::array(&mut d, 2)?;
        let body = d.bytes()?;
        let signature = cbor::fixed(&mut d)?;
        Ok(Self { body, signature })
    }

    /// Reads version and role; the decoder stands before field 2.
    fn fields(&self, count: u64, role: u8) -> Result<Decoder<'a>, Invalid> {
        cbor::strict(self.body)?;
        let mut d = Decoder::new(self.body);
        let fields = d.map()?;
        cbor::key(&mut d, 0)?;
        let version = d.u8()?;
        if version != VERSION {
            return Err(Invalid::Version { version });
        }
        cbor::key(&mut d, 1)?;
        if d.u8()? != role {
            return Err(Invalid::Chain);
        }
        if fields == Some(count) { Ok(d) } else { Err(Invalid::Form("not the fields of a certificate")) }
    }
}

fn seal(tag: Tag, network: &NetworkId, body: &[u8], signer: &dyn Signer) -> Bytes {
    let signature = signer.sign(&to_sign(tag, network, body));
    cbor::written(|e| e.array(2)?.bytes(body)?.bytes(&signature)?.ok()).into()
}

fn head(e: &mut Encoder<&mut Vec<u8>>, fields: u64, role: u8) -> cbor::Written {
    e.map(fields)?.u8(0)?.u8(VERSION)?.u8(1)?.u8(role)?.ok()
}

fn life(e: &mut Encoder<&mut Vec<u8>>, key: u8, not_before: Unix, not_after: Unix) -> cbor::Written {
    e.u8(key)?.u64(not_before.as_secs())?.u8(key + 1)?.u64(not_after.as_secs())?.ok()
}

fn read_life(d: &mut Decoder<'_>, key: u64, max: Duration, subject: Subject) -> Result<Range<Unix>, Invalid> {
    cbor::key(d, key)?;
    let not_before = Unix::from_secs(d.u64()?);
    cbor::key(d, key + 1)?;
    allowed_life(not_before..Unix::from_secs(d.u64()?), max, subject)
}
