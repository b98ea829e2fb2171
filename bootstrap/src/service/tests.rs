//! The service against a database in a temporary folder, without a network: clients are the login
//! crate's own state machines.

#![expect(clippy::wildcard_enum_match_arm, reason = "any other answer fails the test")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use callbook_login::messages::{Certified, CertifyNode, DeviceRequest, EnrolFinish, Revoke};
use callbook_login::network_file::network_id;
use callbook_login::opaque::{Enrolment, LoginAttempt, OpaqueError};
use callbook_overlay::certificate::{DEVICE_LIFE, DeviceCertificate, LoginCertificate, NodeCertificate};
use callbook_overlay::network::{Parameters, Scope};
use callbook_overlay::record::{ChainCache, Record};
use callbook_overlay::sign::{SecretKey, Signer as _};
use callbook_overlay::time::{Instant, Unix};
use futures::future::BoxFuture;

use super::*;

const DAY: u64 = 24 * 3600;

/// An overlay that keeps what is put, or refuses it.
#[derive(Default)]
struct Overlay {
    records: Mutex<Vec<Bytes>>,
    down: std::sync::atomic::AtomicBool,
}

impl Directory for Overlay {
    fn put(&self, record: Bytes) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if self.down.load(Ordering::SeqCst) {
                return Err("down".into());
            }
            lock(&self.records).push(record);
            Ok(())
        })
    }

    fn seeds(&self, count: usize) -> BoxFuture<'_, Vec<Bytes>> {
        Box::pin(async move { vec![Bytes::from_static(b"hint"); count.min(2)] })
    }
}

/// A service with a clock that tests set, and what it takes to start it again.
struct Bench {
    service: Service,
    overlay: Arc<Overlay>,
    /// Seconds since 1970, for both clocks.
    clock: Arc<AtomicU64>,
    limits: Limits,
    keys: Vec<u8>,
    folder: tempfile::TempDir,
}

const START: u64 = 1_795_300_000;

fn network(limits: Limits) -> Network {
    let root = SecretKey::from_seed([1; 32]);
    let created = Unix::from_secs(START);
    let id = network_id(&[root.public()], "lab", created);
    let certificate = LoginCertificate {
        key: SecretKey::from_seed([2; 32]).public(),
        not_before: created,
        not_after: created + Duration::from_secs(90 * DAY),
    };
    Network {
        id,
        version: 1,
        roots: vec![root.public()],
        login: vec![certificate.issue(&id, &root)],
        secret: None,
        scope: Scope::Local,
        limits,
        parameters: Parameters::default(),
    }
}

impl Bench {
    async fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = ServerKeys::generate().to_bytes().to_vec();
        let clock = Arc::new(AtomicU64::new(START));
        let overlay = Arc::new(Overlay::default());
        let service = service(folder.path(), &keys, limits, &overlay, &clock).await;
        Self { service, overlay, clock, limits, keys, folder }
    }

    async fn restart(self) -> Self {
        self.service.database.close().await;
        let service = service(self.folder.path(), &self.keys, self.limits, &self.overlay, &self.clock).await;
        Self { service, ..self }
    }

    fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn ask(&self, peer: u8, request: &Request) -> Response {
        let caller =
            Caller { peer: PeerId::from_bytes([peer; 32]), address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)) };
        Response::read(&self.service.serve(&caller, &request.to_bytes()).await).unwrap()
    }

    /// The last request of an enrolment, ready to send; the refusal when it doesn't get so far.
    async fn enrolment(&self, name: &str, device: u8) -> Result<Request, Refusal> {
        let username = Username::parse(name).unwrap();
        let (enrolment, request) =
            Enrolment::start(self.service.network(), &username, b"correct horse").unwrap();
        match self.ask(9, &request).await {
            Response::EnrolStarted(started) => Ok(enrolment.finish(&started, &key(device)).unwrap()),
            Response::Refused(refusal) => Err(refusal),
            other => panic!("unexpected {other:?}"),
        }
    }

    async fn enrol(&self, name: &str, device: u8) -> Result<Certified, Refusal> {
        let request = self.enrolment(name, device).await?;
        certified(self.ask(9, &request).await)
    }

    async fn login(&self, name: &str, password: &[u8], device: u8) -> Result<Certified, Refusal> {
        let username = Username::parse(name).unwrap();
        let (attempt, request) = LoginAttempt::start(self.service.network(), &username, password).unwrap();
        let started = match self.ask(9, &request).await {
            Response::LoginStarted(started) => started,
            Response::Refused(refusal) => return Err(refusal),
            other => panic!("unexpected {other:?}"),
        };
        match attempt.finish(&started, &key(device)) {
            Ok(request) => certified(self.ask(9, &request).await),
            Err(OpaqueError::Refused) => Err(Refusal::Refused),
            Err(other) => panic!("unexpected {other:?}"),
        }
    }

    /// A device's request for its account, with the claim that `claim` makes for this peer.
    fn asked(
        &self,
        name: &str,
        device: u8,
        peer: u8,
        claim: impl for<'a> Fn(&'a Username, &'a PeerId) -> Claim<'a>,
    ) -> DeviceRequest {
        let (username, peer) = (Username::parse(name).unwrap(), PeerId::from_bytes([peer; 32]));
        let proof = claim(&username, &peer).sign(&self.service.network().id, &key(device));
        DeviceRequest { username: name.into(), device: key(device).public(), proof }
    }

    async fn renew(&self, name: &str, device: u8) -> Result<Certified, Refusal> {
        let request = self.asked(name, device, 9, |username, peer| Claim::Renew { username, peer });
        certified(self.ask(9, &Request::Renew(request)).await)
    }

    async fn revoke(&self, name: &str, by: u8, target: u8) -> Response {
        let (peer, target) = (PeerId::from_bytes([9; 32]), key(target).public());
        let claim = |username| Claim::Revoke { username, peer: &peer, device: &target };
        let username = Username::parse(name).unwrap();
        let proof = claim(&username).sign(&self.service.network().id, &key(by));
        let request = Revoke { username: name.into(), device: key(by).public(), target, proof };
        self.ask(9, &Request::Revoke(request)).await
    }

    async fn token(&self) -> [u8; 32] {
        let token = random().ok().unwrap();
        let now = (self.service.clock)().unix;
        let hash = *blake3::hash(&token).as_bytes();
        self.service.database.add_token(&hash, now, now + limits::TOKEN_LIFE).await.unwrap();
        token
    }

    async fn node(&self, peer: u8, token: Option<[u8; 32]>) -> Result<NodeCertificate, Refusal> {
        let request = CertifyNode { token: token.map(Into::into), vouch: None };
        node(self.ask(peer, &Request::CertifyNode(request)).await)
    }
}

async fn service(
    folder: &std::path::Path,
    keys: &[u8],
    limits: Limits,
    overlay: &Arc<Overlay>,
    clock: &Arc<AtomicU64>,
) -> Service {
    let clock = Arc::clone(clock);
    Service::new(Parts {
        authority: Arc::new(Authority::new(network(limits), SecretKey::from_seed([2; 32])).unwrap()),
        keys: ServerKeys::from_bytes(keys).unwrap(),
        database: Database::open(&folder.join("accounts.sqlite")).await.unwrap(),
        directory: Arc::clone(overlay) as Arc<dyn Directory>,
        clock: Arc::new(move || {
            let seconds = clock.load(Ordering::SeqCst);
            Now { instant: Instant::from_micros(seconds * 1_000_000), unix: Unix::from_secs(seconds) }
        }),
        seed: [3; 32],
        targets: Targets::new(limits == Limits::Lab),
    })
}

fn key(device: u8) -> SecretKey {
    SecretKey::from_seed([100 + device; 32])
}

fn certified(response: Response) -> Result<Certified, Refusal> {
    match response {
        Response::Certified(certified) => Ok(certified),
        Response::Refused(refusal) => Err(refusal),
        other => panic!("unexpected {other:?}"),
    }
}

fn node(response: Response) -> Result<NodeCertificate, Refusal> {
    match response {
        Response::NodeCertified(certified) => Ok(NodeCertificate::parse(&certified.certificate()).unwrap()),
        Response::Refused(refusal) => Err(refusal),
        other => panic!("unexpected {other:?}"),
    }
}

/// The device certificate, after checking its chain as a peer would.
fn verified(network: &Network, certified: &Certified) -> DeviceCertificate {
    let chain = certified.chain();
    let login = LoginCertificate::verify(&chain[0], network, &Strict).unwrap();
    DeviceCertificate::verify(&chain[1], &login.key, &network.id, &Strict).unwrap()
}

#[tokio::test]
async fn an_enrolled_name_has_a_certificate_that_peers_accept_and_nobody_else_gets_it() {
    // Goal: enrolment, and "taken" for the same name, other case, look-alikes, reserved names. Method:
    // one account, then others that try to come near it.
    let bench = Bench::new(Limits::Lab).await;
    let certificate = verified(bench.service.network(), &bench.enrol("alice", 1).await.unwrap());
    let alice = Username::parse("alice").unwrap();
    assert_eq!(certificate.name, bench.service.network().name_key(&alice));
    assert_eq!(certificate.device, key(1).public());
    assert_eq!(certificate.not_after, Unix::from_secs(START + 7 * DAY));
    for name in ["alice", "Alice", "a1ice", "al-ice"] {
        assert_eq!(bench.enrol(name, 2).await.unwrap_err(), Refusal::Taken, "{name}");
    }
    assert_eq!(bench.enrol("adm1n", 2).await.unwrap_err(), Refusal::Reserved);
    bench.enrol("bob", 2).await.unwrap();
}

#[tokio::test]
async fn two_enrolments_that_race_for_a_name_give_it_to_one() {
    // Goal: the check and the account are one step. Method: two enrolments of one name, both begun
    // before either ends.
    let bench = Bench::new(Limits::Lab).await;
    let first = bench.enrolment("alice", 1).await.unwrap();
    let second = bench.enrolment("al1ce", 2).await.unwrap();
    certified(bench.ask(9, &first).await).unwrap();
    assert_eq!(certified(bench.ask(9, &second).await).unwrap_err(), Refusal::Taken);
}

#[tokio::test]
async fn a_retried_enrolment_gets_its_certificate_again_for_ten_minutes() {
    // Goal: a lost answer doesn't lose the name. Method: the same last message again, in time and too
    // late, and one with another upload.
    let bench = Bench::new(Limits::Lab).await;
    let request = bench.enrolment("alice", 1).await.unwrap();
    let other = bench.enrolment("alice", 1).await.unwrap();
    let network = bench.service.network();
    let first = verified(network, &certified(bench.ask(9, &request).await).unwrap());
    bench.pass(599);
    let again = verified(network, &certified(bench.ask(9, &request).await).unwrap());
    assert_eq!((first.serial, first.device), (again.serial, again.device));
    assert_eq!(certified(bench.ask(9, &other).await).unwrap_err(), Refusal::Taken);
    bench.pass(2);
    assert_eq!(certified(bench.ask(9, &request).await).unwrap_err(), Refusal::Taken);
}

#[tokio::test]
async fn a_proof_by_another_device_key_is_refused() {
    // Goal: nobody gets a certificate for a key that he doesn't hold. Method: exchange the key in an
    // otherwise right message.
    let bench = Bench::new(Limits::Lab).await;
    let Request::EnrolFinish(finish) = bench.enrolment("alice", 1).await.unwrap() else { panic!() };
    let forged = EnrolFinish { device: key(2).public(), ..*finish };
    let answer = bench.ask(9, &Request::EnrolFinish(Box::new(forged))).await;
    assert_eq!(certified(answer).unwrap_err(), Refusal::BadProof);
}

#[tokio::test]
async fn a_second_device_logs_in_with_the_password_and_only_with_it() {
    // Goal: login; wrong password and unknown name alike; at most eight devices. Method: through the
    // whole protocol.
    let bench = Bench::new(Limits::Lab).await;
    let first = verified(bench.service.network(), &bench.enrol("alice", 1).await.unwrap());
    let second = verified(bench.service.network(), &bench.login("Alice", b"correct horse", 2).await.unwrap());
    assert_eq!(first.name, second.name);
    assert_ne!(first.serial, second.serial);
    assert_eq!(bench.login("alice", b"wrong horse", 3).await.unwrap_err(), Refusal::Refused);
    assert_eq!(bench.login("nobody-here", b"correct horse", 3).await.unwrap_err(), Refusal::Refused);
    for device in 3..=8 {
        bench.login("alice", b"correct horse", device).await.unwrap();
    }
    assert_eq!(bench.login("alice", b"correct horse", 9).await.unwrap_err(), Refusal::TooManyDevices);
    // The first one's certificate ends, another device takes its place, and it can't come back beside that.
    bench.pass(DEVICE_LIFE.as_secs() - 60);
    for device in 2..=8 {
        bench.renew("alice", device).await.unwrap();
    }
    bench.pass(120);
    bench.login("alice", b"correct horse", 9).await.unwrap();
    assert_eq!(bench.renew("alice", 1).await.unwrap_err(), Refusal::NotRenewable);
    bench.renew("alice", 2).await.unwrap();
    bench.login("alice", b"correct horse", 8).await.unwrap();
}

#[tokio::test]
async fn a_session_belongs_to_the_peer_that_began_it_and_ends() {
    // Goal: nobody else can finish a login, nor one that began long ago. Method: the second message
    // from another peer, then too late.
    let bench = Bench::new(Limits::Lab).await;
    bench.enrol("alice", 1).await.unwrap();
    let username = Username::parse("alice").unwrap();
    let begin = async || {
        let (attempt, request) =
            LoginAttempt::start(bench.service.network(), &username, b"correct horse").unwrap();
        let Response::LoginStarted(started) = bench.ask(9, &request).await else { panic!() };
        attempt.finish(&started, &key(2)).unwrap()
    };
    let finish = begin().await;
    assert_eq!(certified(bench.ask(8, &finish).await).unwrap_err(), Refusal::StaleSession);
    certified(bench.ask(9, &finish).await).unwrap();
    assert_eq!(certified(bench.ask(9, &finish).await).unwrap_err(), Refusal::StaleSession);
    let finish = begin().await;
    bench.pass(61);
    assert_eq!(certified(bench.ask(9, &finish).await).unwrap_err(), Refusal::StaleSession);
}

#[tokio::test]
async fn a_certificate_is_renewed_until_it_is_revoked() {
    // Goal: renewal keeps the serial and lengthens the life; a revoked device gets none; the list shows
    // who is left. Method: two devices, one revokes itself.
    let bench = Bench::new(Limits::Lab).await;
    let first = verified(bench.service.network(), &bench.enrol("alice", 1).await.unwrap());
    bench.login("alice", b"correct horse", 2).await.unwrap();
    bench.pass(DAY);
    let renewed = verified(bench.service.network(), &bench.renew("alice", 1).await.unwrap());
    assert_eq!(renewed.serial, first.serial);
    assert_eq!(renewed.not_after, first.not_after + Duration::from_secs(DAY));
    assert_eq!(bench.renew("alice", 3).await.unwrap_err(), Refusal::NotRenewable);
    assert_eq!(bench.renew("nobody-here", 3).await.unwrap_err(), Refusal::NotRenewable);

    assert_eq!(bench.revoke("alice", 1, 1).await, Response::Revoked);
    assert_eq!(bench.revoke("alice", 1, 1).await, Response::Revoked, "its answer may get lost");
    assert_eq!(bench.renew("alice", 1).await.unwrap_err(), Refusal::NotRenewable);
    assert_eq!(bench.revoke("alice", 1, 2).await, Response::Refused(Refusal::NotRenewable));
    let request = bench.asked("alice", 2, 9, |username, peer| Claim::Devices { username, peer });
    let Response::Devices(devices) = bench.ask(9, &Request::Devices(request)).await else { panic!() };
    assert_eq!(devices.iter().map(|entry| entry.device).collect::<Vec<_>>(), [key(2).public()]);
    // The same device may come back with the password, under a new serial.
    let back = verified(bench.service.network(), &bench.login("alice", b"correct horse", 1).await.unwrap());
    assert!(back.serial > first.serial);
}

/// Runs the publisher until everything pending has been published.
async fn publish(bench: &Bench) {
    let (database, clock) = (bench.service.database.clone(), Arc::clone(&bench.service.clock));
    let directory = Arc::clone(&bench.overlay) as Arc<dyn Directory>;
    let publisher = tokio::spawn(crate::publisher::run(database, directory, bench.service.revoked(), clock));
    while !bench.service.database.pending_epochs((bench.service.clock)().unix, 1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    publisher.abort();
}

/// The newest published epoch record, verified as a storer would.
fn epoch(bench: &Bench) -> Record {
    let record = Record::parse(lock(&bench.overlay.records).last().unwrap()).unwrap();
    let now = (bench.service.clock)().unix;
    record.check_header(now).unwrap();
    callbook_overlay::record::verify(
        &record,
        bench.service.network(),
        now,
        &mut ChainCache::default(),
        &Strict,
    )
    .unwrap();
    record
}

#[tokio::test]
async fn a_revocation_is_published_even_if_the_server_restarts_before_the_overlay_answers() {
    // Goal: the epoch record verifies, names the serial, counts up, survives a restart, and forgets
    // serials after seven days. Method: an overlay that is down while the device is revoked.
    let bench = Bench::new(Limits::Lab).await;
    let first = verified(bench.service.network(), &bench.enrol("alice", 1).await.unwrap());
    let second = verified(bench.service.network(), &bench.login("alice", b"correct horse", 2).await.unwrap());
    bench.overlay.down.store(true, Ordering::SeqCst);
    assert_eq!(bench.revoke("alice", 2, 1).await, Response::Revoked);
    let bench = bench.restart().await;
    assert!(lock(&bench.overlay.records).is_empty());
    bench.overlay.down.store(false, Ordering::SeqCst);
    publish(&bench).await;
    let record = epoch(&bench);
    assert_eq!(record.header().key, first.name);
    assert_eq!((record.header().seq, record.header().epoch), (1, 1));
    assert_eq!(record.epoch_payload().unwrap().revoked, [first.serial]);

    bench.pass(DAY);
    assert_eq!(bench.revoke("alice", 2, 2).await, Response::Revoked);
    publish(&bench).await;
    assert_eq!(epoch(&bench).header().seq, 2);
    assert_eq!(epoch(&bench).epoch_payload().unwrap().revoked, [first.serial, second.serial]);

    bench.pass(6 * DAY + 1);
    let third = verified(bench.service.network(), &bench.login("alice", b"correct horse", 3).await.unwrap());
    assert_eq!(bench.revoke("alice", 3, 3).await, Response::Revoked);
    publish(&bench).await;
    assert_eq!(epoch(&bench).epoch_payload().unwrap().revoked, [second.serial, third.serial]);
}

#[tokio::test]
async fn a_node_token_serves_one_node_and_only_for_a_day() {
    // Goal: single use, expiry, a fixed place, renewal without the token. Method: peers with tokens of
    // different age.
    let bench = Bench::new(Limits::Lab).await;
    let token = bench.token().await;
    let first = bench.node(1, Some(token)).await.unwrap();
    let now = (bench.service.clock)().unix;
    first.verify(bench.service.network(), now, &Strict).unwrap();
    assert_eq!(first.node, PeerId::from_bytes([1; 32]));
    assert_eq!(bench.node(2, Some(token)).await.unwrap_err(), Refusal::BadToken);
    assert_eq!(bench.node(2, Some([0; 32])).await.unwrap_err(), Refusal::BadToken);
    assert_eq!(bench.node(2, None).await.unwrap_err(), Refusal::NotRenewable);

    let late = bench.token().await;
    bench.pass(DAY + 1);
    assert_eq!(bench.node(2, Some(late)).await.unwrap_err(), Refusal::BadToken);
    let renewed = bench.node(1, None).await.unwrap();
    assert_eq!(renewed.nonce, first.nonce, "renewal does not move a node");
    assert!(renewed.not_after > first.not_after);
    assert_eq!(bench.node(1, Some(token)).await.unwrap().nonce, first.nonce);
}

#[tokio::test]
async fn an_account_vouches_for_three_nodes() {
    // Goal: at most three live node certificates per account. Method: four peers, then a week later.
    let bench = Bench::new(Limits::Lab).await;
    bench.enrol("alice", 1).await.unwrap();
    let certify = async |peer: u8| {
        let vouch = bench.asked("alice", 1, peer, |username, peer| Claim::Node { username, peer });
        let request = CertifyNode { token: None, vouch: Some(vouch) };
        node(bench.ask(peer, &Request::CertifyNode(request)).await)
    };
    for peer in 1..=3 {
        certify(peer).await.unwrap();
    }
    assert_eq!(certify(4).await.unwrap_err(), Refusal::TooManyNodes);
    certify(3).await.unwrap();
    bench.pass(7 * DAY + 1);
    certify(4).await.unwrap();
    bench.node(1, None).await.unwrap();
    bench.node(2, None).await.unwrap();
    assert_eq!(bench.node(3, None).await.unwrap_err(), Refusal::NotRenewable);
}

#[tokio::test]
async fn only_peers_with_a_certificate_have_their_metrics_listed() {
    // Goal: no stranger's page gets into the operator's Prometheus. Method: strangers with nothing and with
    // proofs that are not theirs (control: all of them would be listed), a node, a device; then certificates that
    // ended or were revoked.
    let bench = Bench::new(Limits::Lab).await;
    bench.enrol("alice", 1).await.unwrap();
    bench.login("alice", b"correct horse", 2).await.unwrap();
    let token = bench.token().await;
    bench.node(1, Some(token)).await.unwrap();
    let vouch = |device, peer| {
        bench.asked("alice", device, peer, |username, peer| Claim::Announce { username, peer })
    };
    let announce = async |peer: u8, vouch| match bench
        .ask(peer, &Request::Announce(Announce { port: 9_000 + u16::from(peer), vouch }))
        .await
    {
        Response::Announced(_) => true,
        Response::Refused(Refusal::Uncertified) => false,
        other => panic!("unexpected {other:?}"),
    };
    assert!(announce(1, None).await, "a node");
    assert!(!announce(2, None).await, "nobody");
    assert!(!announce(2, Some(vouch(1, 3))).await, "another peer's proof");
    assert!(!announce(2, Some(vouch(9, 2))).await, "a device that nobody knows");
    let other_claim = bench.asked("alice", 1, 2, |username, peer| Claim::Devices { username, peer });
    assert!(!announce(2, Some(other_claim)).await, "a proof of something else");
    assert!(announce(2, Some(vouch(1, 2))).await, "a device");
    let listed = bench.service.targets.list((bench.service.clock)().instant);
    assert_eq!(listed.iter().map(|address| address.port()).collect::<Vec<_>>(), [9_001, 9_002]);

    assert_eq!(bench.revoke("alice", 1, 1).await, Response::Revoked);
    assert!(!announce(2, Some(vouch(1, 2))).await, "a device that was revoked");
    assert!(announce(2, Some(vouch(2, 2))).await, "another one");
    bench.pass(7 * DAY + 1);
    assert!(!announce(1, None).await, "a node whose certificate ended");
    assert!(!announce(2, Some(vouch(2, 2))).await, "a device whose certificate ended");
    assert!(bench.service.targets.list((bench.service.clock)().instant).is_empty());
}

#[tokio::test]
async fn a_restart_keeps_accounts_devices_and_nodes() {
    // Goal: nothing acknowledged is lost. Method: everything again after closing and opening.
    let bench = Bench::new(Limits::Lab).await;
    bench.enrol("alice", 1).await.unwrap();
    let token = bench.token().await;
    let before = bench.node(1, Some(token)).await.unwrap();
    let bench = bench.restart().await;
    bench.login("alice", b"correct horse", 2).await.unwrap();
    bench.renew("alice", 1).await.unwrap();
    assert_eq!(bench.enrol("alice", 3).await.unwrap_err(), Refusal::Taken);
    assert_eq!(bench.node(1, None).await.unwrap().nonce, before.nonce);
    assert_eq!(bench.service.database.account_count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_login_key_that_ends_soon_signs_nothing() {
    // Goal: less than two weeks left: no certificates. Method: 77 days after its start.
    let bench = Bench::new(Limits::Lab).await;
    bench.enrol("alice", 1).await.unwrap();
    bench.pass(76 * DAY + 1);
    assert_eq!(bench.enrol("bob", 2).await.unwrap_err(), Refusal::KeyExpiring);
    assert_eq!(bench.renew("alice", 1).await.unwrap_err(), Refusal::KeyExpiring);
}

#[tokio::test]
async fn guessing_is_limited_per_account_unless_the_network_is_a_lab() {
    // Goal: a burst of logins, then refusals that say when to come back. Method: only the first
    // messages, which need no stretching; the control is a network without limits.
    let first_messages = async |limits| {
        let bench = Bench::new(limits).await;
        let username = Username::parse("alice").unwrap();
        let mut answers = Vec::new();
        for _ in 0..=limits::LOGINS_BY_ACCOUNT.burst {
            let (_, request) = LoginAttempt::start(bench.service.network(), &username, b"guess").unwrap();
            answers.push(bench.ask(9, &request).await);
        }
        answers
    };
    let mut normal = first_messages(Limits::Normal).await;
    assert!(matches!(normal.pop(), Some(Response::Refused(Refusal::RateLimited { .. }))));
    assert!(normal.iter().all(|answer| matches!(answer, Response::LoginStarted(_))));
    let lab = first_messages(Limits::Lab).await;
    assert!(lab.iter().all(|answer| matches!(answer, Response::LoginStarted(_))));
}

#[tokio::test]
async fn unreadable_and_unknown_requests_are_refused_not_dropped() {
    // Goal: any bytes get an answer. Method: noise, and a kind of the future.
    let bench = Bench::new(Limits::Lab).await;
    let caller = Caller { peer: PeerId::from_bytes([9; 32]), address: None };
    let answer = Response::read(&bench.service.serve(&caller, b"noise").await).unwrap();
    assert_eq!(answer, Response::Refused(Refusal::Malformed));
    let answer = bench.ask(9, &Request::Unsupported { kind: 77 }).await;
    assert_eq!(answer, Response::Refused(Refusal::Unsupported));
    let answer = bench.ask(9, &Request::Seeds(callbook_login::messages::Seeds { count: 255 })).await;
    assert_eq!(answer, Response::Seeds(vec![Bytes::from_static(b"hint"); 2]));
}
