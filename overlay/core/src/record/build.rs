//! Building records: what a publisher and the login server sign.
//!
//! A builder reads its own result back, so what it returns parses; it never signs what its chain
//! doesn't cover. *Not here*: choosing `seq` and when to sign again (the overlay), certificates
//! ([`certificate`](crate::certificate)).

use core::time::Duration;

use bytes::Bytes;

use super::{DevicePayload, ED25519, EpochPayload, Header, Kind, Record, VERSION, seal};
use crate::cbor;
use crate::certificate::{DeviceCertificate, LoginCertificate};
use crate::invalid::{Invalid, Subject};
use crate::key::Key;
use crate::limits::{DEVICE_LIFE_MAX, EPOCH_LIFE, TTL_DEFAULT, TTL_MAX, TTL_MIN};
use crate::name::Username;
use crate::network::Network;
use crate::sign::{Signer, to_sign};
use crate::time::Unix;

/// What a device record is built from.
#[derive(Debug, Clone, Copy)]
pub struct DeviceDraft<'a> {
    /// Whose.
    pub username: &'a Username,
    /// What it says.
    pub payload: &'a DevicePayload,
    /// Epoch of the device certificate.
    pub epoch: u32,
    /// Higher than that of any record signed before.
    pub seq: u64,
    /// The time of signing.
    pub now: Unix,
    /// How long it is to be valid, clamped to [`DEVICE_LIFE_MAX`] and to the chain's end.
    pub life: Duration,
    /// How long a cache may keep it, clamped to [`TTL_MIN`] and [`TTL_MAX`].
    pub ttl: Duration,
    /// Login certificate, then device certificate, as they travel.
    pub chain: &'a [Bytes],
}

/// What an `epoch` record is built from. It is valid for [`EPOCH_LIFE`], or until its chain ends.
#[derive(Debug, Clone, Copy)]
pub struct EpochDraft<'a> {
    /// The name's key.
    pub key: Key,
    /// What it says; its minimum is the record's epoch.
    pub payload: &'a EpochPayload,
    /// Higher than that of any record of this epoch signed before.
    pub seq: u64,
    /// The time of signing.
    pub now: Unix,
    /// The login certificate, as it travels.
    pub chain: &'a [Bytes],
}

/// Signs a device record.
///
/// # Errors
/// [`Invalid`]: the user (a payload that is too large or breaks a rule) or us (a chain that is not this
/// name's and device's, or has ended).
pub fn sign_device(
    draft: DeviceDraft<'_>,
    network: &Network,
    device: &dyn Signer,
) -> Result<Record, Invalid> {
    let [login, certificate] = draft.chain else { return Err(Invalid::Chain) };
    let login = LoginCertificate::parse(login)?;
    let certificate = DeviceCertificate::parse(certificate)?;
    let key = network.name_key(draft.username);
    if certificate.name != key {
        return Err(Invalid::Name);
    }
    if certificate.device != device.public() {
        return Err(Invalid::Writer);
    }
    if certificate.epoch != draft.epoch {
        return Err(Invalid::Epoch);
    }
    let until = login.not_after.min(certificate.not_after);
    let header = Header {
        kind: Kind::Device,
        key,
        epoch: draft.epoch,
        seq: draft.seq,
        not_before: draft.now,
        not_after: until.min(draft.now + draft.life.min(DEVICE_LIFE_MAX)),
        ttl: seconds(draft.ttl.clamp(TTL_MIN, TTL_MAX)),
    };
    let payload = seal::seal(network, draft.username, &certificate.device, &draft.payload.encode()?);
    sign(&header, &payload, draft.chain, network, device)
}

/// Signs an `epoch` record.
///
/// # Errors
/// [`Invalid`]: us (too many serials, or a chain that is not this login key's or has ended).
pub fn sign_epoch(draft: EpochDraft<'_>, network: &Network, login: &dyn Signer) -> Result<Record, Invalid> {
    let [certificate] = draft.chain else { return Err(Invalid::Chain) };
    let certificate = LoginCertificate::parse(certificate)?;
    if certificate.key != login.public() {
        return Err(Invalid::Writer);
    }
    let header = Header {
        kind: Kind::Epoch,
        key: draft.key,
        epoch: draft.payload.minimum,
        seq: draft.seq,
        not_before: draft.now,
        not_after: certificate.not_after.min(draft.now + EPOCH_LIFE),
        ttl: seconds(TTL_DEFAULT),
    };
    sign(&header, &draft.payload.encode()?, draft.chain, network, login)
}

fn sign(
    header: &Header,
    payload: &[u8],
    chain: &[Bytes],
    network: &Network,
    signer: &dyn Signer,
) -> Result<Record, Invalid> {
    if header.not_after <= header.not_before {
        return Err(Invalid::Expired(Subject::DeviceCertificate));
    }
    let body = body(header, payload);
    let signature = signer.sign(&to_sign(header.kind.rules().tag, &network.id, &body));
    let bytes = cbor::written(|e| {
        e.map(3)?.u8(0)?.bytes(&body)?.u8(1)?.bytes(&signature)?.u8(2)?.array(chain.len() as u64)?;
        chain.iter().try_for_each(|certificate| e.bytes(certificate)?.ok())
    });
    Record::parse(bytes)
}

fn body(header: &Header, payload: &[u8]) -> alloc::vec::Vec<u8> {
    cbor::written(|e| {
        e.map(10)?.u8(0)?.u8(VERSION)?.u8(1)?.u8(ED25519)?;
        e.u8(2)?.u8(header.kind.code())?.u8(3)?.bytes(header.key.as_bytes())?;
        e.u8(4)?.u32(header.epoch)?.u8(5)?.u64(header.seq)?;
        e.u8(6)?.u64(header.not_before.as_secs())?.u8(7)?.u64(header.not_after.as_secs())?;
        e.u8(8)?.u32(header.ttl)?.u8(9)?.bytes(payload)?.ok()
    })
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
