//! Verifying a record: from a root key through its chain to its signature.
//!
//! ```text
//! root ──▶ login certificate ──▶ device certificate ──▶ device record
//!                            └─────────────────────────▶ epoch record
//! ```
//! A chain that was verified is remembered, so the next record with it costs one signature check. The
//! clock is asked every time, from what the certificates say, not from what was remembered.
//!
//! *Not here*: form, size and expiry of the record itself (`mod.rs`), the payload of a device record.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use super::{Kind, Record};
use crate::certificate::{DeviceCertificate, LoginCertificate, valid_at};
use crate::invalid::{Invalid, Subject};
use crate::key::PublicKey;
use crate::limits::{CHAINS_CACHED_MAX, LOGINS_CACHED_MAX};
use crate::network::Network;
use crate::sign::{Verifier, to_sign};
use crate::sorted::GrowingMap;
use crate::time::Unix;

/// What verification of a record yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The key that signed it: a device key, or for `epoch` the login key.
    pub writer: PublicKey,
    /// Epoch of the certificate; of an `epoch` record, the one that it sets.
    pub epoch: u32,
    /// Serial of the device certificate; `None` for `epoch`.
    pub serial: Option<u64>,
    /// When the chain ends; the record does not outlive it.
    pub until: Unix,
}

/// Verifies chain and signature of a record whose header has been checked.
///
/// # Time
/// One signature check if the chain is remembered, three at most with one root key.
///
/// # Errors
/// [`Invalid`]: writer or sender is at fault.
pub fn verify(
    record: &Record,
    network: &Network,
    now: Unix,
    cache: &mut ChainCache,
    verifier: &dyn Verifier,
) -> Result<Verified, Invalid> {
    let chain = match record.certificate() {
        Some(certificate) => device_chain(record, certificate, network, cache, verifier)?,
        None => login_chain(record, network, cache, verifier)?,
    };
    verify_under(chain, record, network, now, verifier)
}

/// As [`verify`], of a record that is to be stored: what is stored is what remembers its chain. `same`: a record
/// with that chain has been verified before.
pub(crate) fn verify_to_store(
    record: &Record,
    same: bool,
    (network, now): (&Network, Unix),
    cache: &mut ChainCache,
    verifier: &dyn Verifier,
) -> Result<Verified, Invalid> {
    let chain = match record.certificate() {
        Some(_) => stored_chain(record, same, network, cache, verifier)?,
        None => login_chain(record, network, cache, verifier)?,
    };
    verify_under(chain, record, network, now, verifier)
}

fn verify_under(
    verified: Chain,
    record: &Record,
    network: &Network,
    now: Unix,
    verifier: &dyn Verifier,
) -> Result<Verified, Invalid> {
    let Chain { login, device, .. } = &verified;
    valid_at(login, now, Subject::LoginCertificate)?;
    valid_at(device, now, Subject::DeviceCertificate)?;
    let until = login.end.min(device.end);
    if record.header().not_after > until {
        return Err(Invalid::Outlives);
    }
    let tag = record.header().kind.rules().tag;
    let message = to_sign(tag, &network.id, record.0.body.of(&record.0.bytes));
    if !verifier.verify(&verified.writer, &message, &record.0.signature) {
        return Err(Invalid::Signature(Subject::Record));
    }
    if record.header().kind == Kind::Epoch {
        // Storers act on it, so it has to be readable; that is known only after the signature.
        record.epoch_payload()?;
    }
    let Chain { writer, .. } = verified;
    Ok(Verified { writer, epoch: record.header().epoch, serial: record.serial(), until })
}

/// A chain whose signatures hold.
struct Chain {
    writer: PublicKey,
    login: Range<Unix>,
    device: Range<Unix>,
}

fn device_chain(
    record: &Record,
    certificate: &DeviceCertificate,
    network: &Network,
    cache: &mut ChainCache,
    verifier: &dyn Verifier,
) -> Result<Chain, Invalid> {
    let device = fits(record, certificate)?;
    let whole = record.0.chain_whole.of(&record.0.bytes);
    let name = *blake3::keyed_hash(network.id.as_bytes(), whole).as_bytes();
    if let Some(login) = cache.recall(&name) {
        return Ok(Chain { writer: certificate.device, login, device });
    }
    let mut chain = record.chain();
    let (Some(login), Some(bytes)) = (chain.next(), chain.next()) else { return Err(Invalid::Chain) };
    let login = cache.login(login, network, verifier)?;
    DeviceCertificate::verify(bytes, &login.key, &network.id, verifier)?;
    let login = login.not_before..login.not_after;
    cache.remember(name, login.clone());
    Ok(Chain { writer: certificate.device, login, device })
}

/// The certificate is for the record's name and epoch; its life.
fn fits(record: &Record, certificate: &DeviceCertificate) -> Result<Range<Unix>, Invalid> {
    if certificate.name != record.header().key {
        return Err(Invalid::Name);
    }
    if certificate.epoch != record.header().epoch {
        return Err(Invalid::Epoch);
    }
    Ok(certificate.not_before..certificate.not_after)
}

fn stored_chain(
    record: &Record,
    same: bool,
    network: &Network,
    cache: &mut ChainCache,
    verifier: &dyn Verifier,
) -> Result<Chain, Invalid> {
    let certificate = record.certificate().ok_or(Invalid::Chain)?;
    let device = fits(record, certificate)?;
    let mut chain = record.chain();
    let (Some(login), Some(bytes)) = (chain.next(), chain.next()) else { return Err(Invalid::Chain) };
    let login = cache.login(login, network, verifier)?;
    if !same {
        DeviceCertificate::verify(bytes, &login.key, &network.id, verifier)?;
    }
    Ok(Chain { writer: certificate.device, login: login.not_before..login.not_after, device })
}

fn login_chain(
    record: &Record,
    network: &Network,
    cache: &mut ChainCache,
    verifier: &dyn Verifier,
) -> Result<Chain, Invalid> {
    let bytes = record.chain().next().ok_or(Invalid::Chain)?;
    let login = cache.login(bytes, network, verifier)?;
    let life = login.not_before..login.not_after;
    Ok(Chain { writer: login.key, login: life.clone(), device: life })
}

/// What names a verified chain or certificate: a hash of its bytes, keyed with the network.
type Name = [u8; 32];

/// Remembers certificates whose signatures were verified. Valid for one set of root keys: make a new
/// one when they change.
///
/// # Shape
/// Two generations of device chains: when the young one holds half of [`CHAINS_CACHED_MAX`], it becomes
/// the old one and the former old one is dropped, so what was used least recently goes first. Of login
/// certificates the [`LOGINS_CACHED_MAX`] that end last. Failures are not remembered.
#[derive(Debug, Default)]
pub struct ChainCache {
    /// The life of the login certificate of each chain; that of the device certificate is in the record.
    young: GrowingMap<Name, Range<Unix>>,
    old: GrowingMap<Name, Range<Unix>>,
    /// By their names: one or two, as a rule.
    logins: Vec<(Name, LoginCertificate)>,
}

impl ChainCache {
    /// Device chains remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether no device chain is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The login certificate, if a root key of the network signed it. Does not look at the clock.
    ///
    /// # Errors
    /// [`Invalid`]: whoever made it is at fault.
    pub fn login(
        &mut self,
        bytes: &[u8],
        network: &Network,
        verifier: &dyn Verifier,
    ) -> Result<LoginCertificate, Invalid> {
        let name = *blake3::keyed_hash(network.id.as_bytes(), bytes).as_bytes();
        let place = match self.logins.binary_search_by_key(&name, |(name, _)| *name) {
            Ok(index) => return Ok(self.logins[index].1),
            Err(place) => place,
        };
        let certificate = LoginCertificate::verify(bytes, network, verifier)?;
        self.logins.reserve_exact(1);
        self.logins.insert(place, (name, certificate));
        if self.logins.len() > LOGINS_CACHED_MAX {
            let first = self.logins.iter().enumerate().min_by_key(|(_, (_, login))| login.not_after);
            first.map(|(index, _)| index).map(|index| self.logins.remove(index));
        }
        Ok(certificate)
    }

    fn recall(&mut self, name: &Name) -> Option<Range<Unix>> {
        if let Some(life) = self.young.get(name) {
            return Some(life.clone());
        }
        let life = self.old.remove(name)?;
        self.remember(*name, life.clone());
        Some(life)
    }

    fn remember(&mut self, name: Name, life: Range<Unix>) {
        if self.young.len() >= CHAINS_CACHED_MAX / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(name, life);
    }
}

#[cfg(test)]
mod tests {
    use super::{CHAINS_CACHED_MAX, ChainCache, Name, Unix};

    fn name(number: usize) -> Name {
        *blake3::hash(&number.to_be_bytes()).as_bytes()
    }

    /// Goal: the cache is bounded and keeps what is in use. Method: fill it three times over while
    /// asking for one chain all along.
    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_in_use() {
        let life = Unix::from_secs(1)..Unix::from_secs(2);
        let mut cache = ChainCache::default();
        for number in 0..3 * CHAINS_CACHED_MAX {
            cache.remember(name(number), life.clone());
            assert!(cache.len() <= CHAINS_CACHED_MAX);
            assert_eq!(cache.recall(&name(0)), Some(life.clone()), "after {number}");
        }
        assert_eq!(cache.recall(&name(1)), None);
    }
}
