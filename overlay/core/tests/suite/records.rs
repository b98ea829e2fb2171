//! Valid records: they read back, verify, merge and bundle as they should.

use std::time::Duration;

use bytes::Bytes;
use callbook_overlay::Invalid;
use callbook_overlay::certificate::{
    DEVICE_LIFE, DeviceCertificate, LOGIN_LIFE, LoginCertificate, NODE_LIFE, NodeCertificate,
};
use callbook_overlay::invalid::Subject;
use callbook_overlay::key::{Key, NetworkId, PeerId};
use callbook_overlay::limits::{CLOCK_TOLERANCE, DEVICE_LIFE_MAX, RECORD_BYTES_MAX, TTL_DEFAULT};
use callbook_overlay::record::seal::seal;
use callbook_overlay::record::{
    Bundle, ChainCache, DeviceDraft, DevicePayload, Entry, EntryKind, EpochDraft, EpochPayload, Kind, Record,
    Verdict, sign_device, sign_epoch, supersedes, verify,
};
use callbook_overlay::sign::{SecretKey, Signer, Strict};
use callbook_overlay::time::Unix;
use proptest::prelude::*;

use crate::fixture::{Counting, Fields, NOW, World, device_certificate, login_certificate, typical_payload};

const SECOND: Duration = Duration::from_secs(1);

/// Goal: what a publisher signs, a stranger accepts and whoever knows the name can read; the size stays
/// in its bound. Method: the typical record of spikes.md §4, sent as bytes.
#[test]
fn a_record_is_accepted_and_opens_with_its_name() {
    let world = World::new();
    let sent = world.typical(7);
    assert!((780..=880).contains(&sent.bytes().len()), "a typical record has {} bytes", sent.bytes().len());
    assert!(sent.bytes().len() <= RECORD_BYTES_MAX);

    let record = Record::parse(sent.bytes().clone()).unwrap();
    assert_eq!(record, sent);
    let header = record.header();
    assert_eq!((header.kind, header.key, header.epoch, header.seq), (Kind::Device, world.key(), 0, 7));
    assert_eq!((header.not_before, header.not_after), (NOW, NOW + DEVICE_LIFE_MAX));
    assert_eq!(record.slot().writer, world.device.public());
    assert!(record.chain().eq(world.chain()));

    let verified = world.accept_afresh(sent.bytes()).unwrap();
    assert_eq!((verified.writer, verified.epoch), (world.device.public(), 0));
    assert_eq!(verified.serial, record.serial());
    assert_eq!(verified.until, NOW + DEVICE_LIFE);
    assert_eq!(record.open(&world.network, &world.username), Ok(typical_payload()));
}

/// Goal: records written today are read for ever; a change of format is seen. Method: nothing in a record
/// is random, so the hashes of a device's and an epoch's are pinned. A new format takes a new `v`.
#[test]
fn the_format_of_records_is_fixed() {
    let world = World::new();
    let hash = |record: &Record| blake3::hash(record.bytes()).to_hex();
    assert_eq!(
        hash(&world.typical(7)).as_str(),
        "81dc54be1cd368a98f81d4676e445aeaa69735cd4e9ae5b09156d12afa05344e"
    );
    assert_eq!(
        hash(&world.epoch(3, &[1, 400], 1)).as_str(),
        "74b06d17e4a83e286883dff1baaf6b19d9eb6f45c6c58fdeaa0b068d9ec9e232"
    );
    let mut private = world.network.clone();
    private.secret = Some([7; 32]);
    let sealed = seal(&private, &world.username, &world.device.public(), b"text");
    assert_eq!(
        blake3::hash(&sealed).to_hex().as_str(),
        "a07d65ac7f0fa0dd3936427892c1aa2a168dbb4ac90fc6d6467c5cd47e5de9cb"
    );
}

/// Goal: the largest payload that the single bounds allow doesn't make a record that is too large.
/// Method: sign it and see the builder refuse.
#[test]
fn a_record_that_is_too_large_is_not_signed() {
    let world = World::new();
    let addresses = vec![Bytes::from(vec![1; 128]); 8];
    let large = DevicePayload { addresses, ..typical_payload() };
    assert!(matches!(world.record(&large, 1), Err(Invalid::Size { max: RECORD_BYTES_MAX, .. })));
    let many = Entry { service: None, kind: EntryKind::Txt("x".into()) };
    let small = DevicePayload { entries: vec![many; 16], ..typical_payload() };
    assert!(world.record(&small, 1).is_ok());
}

/// Goal: an `epoch` record with as many serials as allowed fits and is accepted. Method: sign, send.
#[test]
fn an_epoch_record_is_accepted() {
    let world = World::new();
    let serials: Vec<u64> = (0..64).map(|number| u64::MAX - number).rev().collect();
    let record = world.epoch(3, &serials, 1);
    let verified = world.accept_afresh(record.bytes()).unwrap();
    assert_eq!((verified.writer, verified.epoch, verified.serial), (world.login.public(), 3, None));
    assert_eq!(record.slot().writer.as_bytes(), &[0; 32]);
    assert_eq!(record.epoch_payload(), Ok(EpochPayload { minimum: 3, revoked: serials }));
}

/// Goal: builders don't sign what their chain doesn't cover. Method: one wrong thing at a time.
#[test]
fn builders_refuse_what_the_chain_does_not_cover() {
    let world = World::new();
    let (payload, chain) = (typical_payload(), world.chain());
    let draft = DeviceDraft {
        username: &world.username,
        payload: &payload,
        epoch: 0,
        seq: 1,
        now: NOW,
        life: DEVICE_LIFE_MAX,
        ttl: TTL_DEFAULT,
        chain: &chain,
    };
    let sign = |draft| sign_device(draft, &world.network, &world.device);
    let bob = callbook_overlay::Username::parse("bob").unwrap();
    assert_eq!(sign(DeviceDraft { username: &bob, ..draft }), Err(Invalid::Name));
    assert_eq!(sign(DeviceDraft { epoch: 1, ..draft }), Err(Invalid::Epoch));
    assert_eq!(sign(DeviceDraft { chain: &chain[..1], ..draft }), Err(Invalid::Chain));
    assert_eq!(sign_device(draft, &world.network, &world.login), Err(Invalid::Writer));
    let late = sign(DeviceDraft { now: NOW + DEVICE_LIFE, ..draft });
    assert_eq!(late, Err(Invalid::Expired(Subject::DeviceCertificate)));

    let long = sign(DeviceDraft { life: DEVICE_LIFE, ttl: DEVICE_LIFE, ..draft }).unwrap();
    assert_eq!((long.header().not_after, long.header().ttl), (NOW + DEVICE_LIFE_MAX, 3_600));
    let clamped = sign(DeviceDraft { now: NOW + DEVICE_LIFE - SECOND * 60, ttl: SECOND, ..draft }).unwrap();
    assert_eq!((clamped.header().not_after, clamped.header().ttl), (NOW + DEVICE_LIFE, 30));

    let epoch = EpochPayload::default();
    let draft = EpochDraft { key: world.key(), payload: &epoch, seq: 1, now: NOW, chain: &chain[..1] };
    assert_eq!(sign_epoch(draft, &world.network, &world.device), Err(Invalid::Writer));
    assert_eq!(
        sign_epoch(EpochDraft { chain: &chain, ..draft }, &world.network, &world.login),
        Err(Invalid::Chain)
    );
}

/// Goal: a chain that was seen costs no signature checks. Method: count them for two records of one
/// device, one of another device, an epoch, and the same on another network.
#[test]
fn a_remembered_chain_costs_one_signature_check_per_record() {
    let world = World::new();
    let (mut cache, counting) = (ChainCache::default(), Counting::default());
    let mut cost = |world: &World, record: &Record| {
        let before = counting.0.get();
        let outcome = verify(record, &world.network, NOW, &mut cache, &counting);
        (outcome.is_ok(), counting.0.get() - before)
    };
    assert_eq!(cost(&world, &world.typical(1)), (true, 3));
    assert_eq!(cost(&world, &world.typical(2)), (true, 1));
    assert_eq!(cost(&world, &world.other_device(77, 5, 0)), (true, 2));
    assert_eq!(cost(&world, &world.epoch(0, &[], 1)), (true, 1));
    let elsewhere = World::with_id(NetworkId::from_bytes([2; 32]));
    assert_eq!(cost(&elsewhere, &elsewhere.typical(1)), (true, 3));
    let foreign = verify(&world.typical(1), &elsewhere.network, NOW, &mut cache, &Strict);
    assert_eq!(foreign, Err(Invalid::Signature(Subject::LoginCertificate)), "remembered for one network");
}

/// Goal: clocks may differ by the tolerance and no more, also with a remembered chain. Method: check
/// the same record at both edges of its own life, then of its chain's.
#[test]
fn clocks_may_differ_by_the_tolerance() {
    let world = World::new();
    let record = world.typical(1);
    let edge = |now: Unix| record.check_header(now);
    assert_eq!(edge(NOW - CLOCK_TOLERANCE), Ok(()));
    assert_eq!(edge(NOW - CLOCK_TOLERANCE - SECOND), Err(Invalid::Future(Subject::Record)));
    assert_eq!(edge(NOW + DEVICE_LIFE_MAX + CLOCK_TOLERANCE), Ok(()));
    assert_eq!(
        edge(NOW + DEVICE_LIFE_MAX + CLOCK_TOLERANCE + SECOND),
        Err(Invalid::Expired(Subject::Record))
    );

    let mut cache = ChainCache::default();
    let mut chain = |now: Unix| verify(&record, &world.network, now, &mut cache, &Strict).map(|_| ());
    assert_eq!(chain(NOW), Ok(()));
    assert_eq!(chain(NOW - CLOCK_TOLERANCE), Ok(()));
    let early = chain(NOW - CLOCK_TOLERANCE - SECOND);
    assert_eq!(early, Err(Invalid::Future(Subject::LoginCertificate)));
    assert_eq!(chain(NOW + DEVICE_LIFE + CLOCK_TOLERANCE), Ok(()));
    let late = chain(NOW + DEVICE_LIFE + CLOCK_TOLERANCE + SECOND);
    assert_eq!(late, Err(Invalid::Expired(Subject::DeviceCertificate)));
    let later = chain(NOW + LOGIN_LIFE + CLOCK_TOLERANCE + SECOND);
    assert_eq!(later, Err(Invalid::Expired(Subject::LoginCertificate)));
}

/// Goal: caches keep a record between 30 s and an hour, and never past its expiry. Method: odd ttls.
#[test]
fn a_ttl_is_clamped() {
    let world = World::new();
    let ttl = |ttl: u64, now: Unix| {
        let fields = Fields { ttl, ..Fields::of(&world) };
        Record::parse(fields.signed(&world)).unwrap().ttl(now).as_secs()
    };
    assert_eq!([0, 30, 60, 3_600, 4_000_000_000].map(|asked| ttl(asked, NOW)), [30, 30, 60, 3_600, 3_600]);
    assert_eq!(ttl(60, NOW + DEVICE_LIFE_MAX - SECOND * 10), 10);
    assert_eq!(ttl(60, NOW + DEVICE_LIFE_MAX + SECOND), 0);
}

/// Goal: an epoch takes revoked devices out of a bundle and leaves the others. Method: three devices,
/// one of an old epoch, one revoked by serial.
#[test]
fn an_epoch_drops_the_devices_that_it_revokes() {
    let world = World::new();
    let devices =
        [world.other_device(1, 100, 2), world.other_device(2, 200, 3), world.other_device(3, 300, 3)];
    let mut bundle = Bundle::new(devices.clone());
    bundle.apply_epoch();
    assert_eq!(bundle.records.len(), 3, "without an epoch all stay");
    assert_eq!(bundle.insert(world.epoch(3, &[200], 1)), None);
    bundle.apply_epoch();
    assert_eq!(bundle.devices().collect::<Vec<_>>(), [&devices[2]]);
    assert_eq!(bundle.epoch(), Some(EpochPayload { minimum: 3, revoked: vec![200] }));
    assert_eq!(bundle.ttl(NOW), TTL_DEFAULT);
    assert_eq!(Bundle::default().ttl(NOW), Duration::ZERO);
}

/// Goal: the same version with another body is noticed and doesn't replace the first. Method: two
/// payloads under one `seq`; the same body with a renewed certificate is no equivocation.
#[test]
fn two_bodies_of_one_version_are_equivocation() {
    let mut world = World::new();
    let first = world.typical(1);
    let other = world.record(&DevicePayload { display: "other".into(), ..typical_payload() }, 1).unwrap();
    assert_eq!(supersedes(&other, &first), Verdict::Equivocation);
    let mut bundle = Bundle::new([first.clone()]);
    assert_eq!(bundle.insert(other), Some(Verdict::Equivocation));
    assert_eq!(bundle.records, std::slice::from_ref(&first));

    let certificate = DeviceCertificate { serial: 1, ..device_certificate(world.key(), &world.device) };
    world.device_certificate = certificate.issue(&world.network.id, &world.login);
    let renewed = world.typical(1);
    assert_ne!(renewed.bytes(), first.bytes());
    assert_eq!(supersedes(&renewed, &first), Verdict::Same);
}

proptest! {
    /// Goal: merging is an order: what storers hold in the end doesn't depend on who came first.
    /// Method: records of random versions, inserted in two orders.
    #[test]
    fn bundles_do_not_depend_on_the_order_of_arrival(
        versions in prop::collection::vec((1..4_u8, 0..3_u32, 0..3_u64), 0..12),
    ) {
        let records = || versions.iter().map(|(seed, epoch, seq)| version(*seed, *epoch, *seq));
        let (forth, back) = (Bundle::new(records()), Bundle::new(records().rev()));
        prop_assert_eq!(&forth, &back);
        prop_assert_eq!(forth.digest(), back.digest());
        prop_assert!(forth.records.is_sorted_by_key(Record::slot));
        let newest = |slot| records().filter(|r| r.slot() == slot).map(|r| (r.header().epoch, r.header().seq)).max();
        for record in &forth.records {
            prop_assert_eq!(Some((record.header().epoch, record.header().seq)), newest(record.slot()));
        }
    }

    /// Goal: a merge has one winner. Method: both directions of random pairs.
    #[test]
    fn of_two_versions_one_is_newer(a in (0..3_u32, 0..3_u64), b in (0..3_u32, 0..3_u64)) {
        let (first, second) = (version(1, a.0, a.1), version(1, b.0, b.1));
        let expected = match a.cmp(&b) {
            std::cmp::Ordering::Less => (Verdict::Older, Verdict::Newer),
            std::cmp::Ordering::Equal => (Verdict::Same, Verdict::Same),
            std::cmp::Ordering::Greater => (Verdict::Newer, Verdict::Older),
        };
        prop_assert_eq!((supersedes(&first, &second), supersedes(&second, &first)), expected);
    }

    /// Goal: certificates say after reading what was issued. Method: random fields.
    #[test]
    fn certificates_read_back(
        (name, device, epoch, serial) in (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u32>(), any::<u64>()),
        (start, life) in (0..u64::MAX / 2, 0..=7 * 24 * 3_600_u64),
        nonce in any::<[u8; 16]>(),
    ) {
        let (signer, network) = (SecretKey::from_seed([1; 32]), NetworkId::from_bytes([1; 32]));
        let (not_before, not_after) = (Unix::from_secs(start), Unix::from_secs(start + life));
        let device = SecretKey::from_seed(device).public();
        let name = Key::from_bytes(name);
        let certificate = DeviceCertificate { name, device, epoch, serial, not_before, not_after };
        prop_assert_eq!(DeviceCertificate::parse(&certificate.issue(&network, &signer)), Ok(certificate));
        let certificate = LoginCertificate { key: device, not_before, not_after };
        prop_assert_eq!(LoginCertificate::parse(&certificate.issue(&network, &signer)), Ok(certificate));
        let certificate = NodeCertificate::issue(device.as_peer(), nonce, not_before..not_after, &network, &signer);
        prop_assert_eq!(NodeCertificate::parse(certificate.bytes()), Ok(certificate));
    }
}

/// A record of this version, one of the seed's device; nothing but its header matters.
fn version(seed: u8, epoch: u32, seq: u64) -> Record {
    let world = World::shared();
    let device = SecretKey::from_seed([seed; 32]);
    let certificate = DeviceCertificate { epoch, ..device_certificate(world.key(), &device) };
    let chain = [world.login_certificate.clone(), certificate.issue(&world.network.id, &world.login)];
    let body = Fields { epoch, seq, ..Fields::of(world) }.body();
    Record::parse(crate::fixture::wrap(&body, &[0; 64], &chain)).expect("a readable record")
}

/// Goal: a node certificate holds for its network, its time and its login key, in 139 bytes. Method: one
/// certificate, then one thing wrong at a time and every bit flipped.
#[test]
fn a_node_certificate_holds_for_its_network_and_time() {
    let world = World::new();
    let node = PeerId::from_bytes([4; 32]);
    let issue = |login: &SecretKey| {
        NodeCertificate::issue(node, [5; 16], NOW..NOW + NODE_LIFE, &world.network.id, login)
    };
    let certificate = issue(&world.login);
    let check = |certificate: &NodeCertificate, now| certificate.verify(&world.network, now, &Strict);
    assert_eq!(certificate.bytes().len(), 139);
    assert_eq!(check(&certificate, NOW), Ok(()));
    assert_eq!(check(&certificate, NOW + NODE_LIFE + CLOCK_TOLERANCE), Ok(()));
    let late = check(&certificate, NOW + NODE_LIFE + CLOCK_TOLERANCE + SECOND);
    assert_eq!(late, Err(Invalid::Expired(Subject::NodeCertificate)));
    let wrong = Err(Invalid::Signature(Subject::NodeCertificate));
    assert_eq!(check(&issue(&world.root), NOW), wrong);
    assert_eq!(check(&issue(&SecretKey::from_seed([99; 32])), NOW), wrong);

    let elsewhere = World::with_id(NetworkId::from_bytes([2; 32]));
    assert_eq!(certificate.verify(&elsewhere.network, NOW, &Strict), wrong);
    assert_ne!(certificate.node_id(&world.network.id), certificate.node_id(&elsewhere.network.id));

    let impostor = SecretKey::from_seed([98; 32]);
    let mut listed = world.network.clone();
    listed.login = vec![login_certificate(&world.login).issue(&world.network.id, &impostor)];
    assert_eq!(certificate.verify(&listed, NOW, &Strict), wrong, "a login key that no root certified");

    let mut cache = ChainCache::default();
    for bit in 0..certificate.bytes().len() * 8 {
        let mut bytes = certificate.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let outcome = NodeCertificate::parse(&bytes)
            .and_then(|read| read.verify_cached(&world.network, NOW, &mut cache, &Strict));
        assert!(outcome.is_err(), "bit {bit} of a node certificate");
    }
}
