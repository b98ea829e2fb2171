//! The service behind a real host, asked by another real host over loopback.

use callbook_host::{Host, Settings, StoreSetting, Transports};
use callbook_login::Claim;
use callbook_login::messages::{Request, Response, Revoke, Seeds};
use callbook_login::network_file::network_id;
use callbook_login::opaque::{Enrolment, ServerKeys};
use callbook_overlay::api::{Hellos, Parallelism};
use callbook_overlay::certificate::{LOGIN_LIFE, LoginCertificate};
use callbook_overlay::key::PublicKey;
use callbook_overlay::name::Username;
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::sign::{SecretKey, Signer as _};
use callbook_overlay::wire::Hint;

use super::*;
use crate::service::Parts;
use crate::{clock, publisher};

fn network(root: &SecretKey, login: PublicKey) -> Network {
    let now = clock::wall();
    let id = network_id(&[root.public()], "lab", now);
    let certificate = LoginCertificate { key: login, not_before: now, not_after: now + LOGIN_LIFE };
    Network {
        id,
        version: 1,
        roots: vec![root.public()],
        login: vec![certificate.issue(&id, root)],
        secret: None,
        scope: Scope::Local,
        limits: Limits::Lab,
        parameters: Parameters::default(),
    }
}

async fn host(network: &Network, key: u8, server: Option<NodeCertificate>) -> Host {
    callbook_host::start(Settings {
        key: [key; 32],
        network: network.clone(),
        listen: server.as_ref().map(|_| "127.0.0.1:0".parse().unwrap()),
        advertise: None,
        serves_login: server.is_some(),
        role: server.map_or(Role::Child, Role::Superpeer),
        reluctant: true,
        store: StoreSetting::Memory,
        metrics_listen: None,
        routes: callbook_host::axum::Router::new(),
        session_bounds: callbook_host::session_bounds(),
        agent: "test".into(),
        parallelism: Parallelism::default(),
        hellos: Hellos::default(),
        children_max: callbook_overlay::limits::CHILDREN_MAX,
        tells_children: true,
        transports: Transports::Both,
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_enrols_finds_seeds_and_revokes_over_the_network() {
    // Goal: every part is joined rightly: transport, service, database, publisher, own superpeer.
    // Method: a server and a client host on loopback; wait until the overlay has the epoch record.
    let folder = tempfile::tempdir().unwrap();
    let [root, login, device] = [1, 2, 3].map(|seed| SecretKey::from_seed([seed; 32]));
    let network = network(&root, login.public());
    let database = Database::open(&folder.path().join("accounts.sqlite")).await.unwrap();
    let authority = Arc::new(Authority::new(network.clone(), login).unwrap());
    let own = SecretKey::from_seed([4; 32]).public().as_peer();
    let certificate = certify_own(&authority, &database, &own, clock::wall()).await.unwrap();
    let Host { handle: server, login, .. } = host(&network, 4, Some(certificate)).await;
    let service = Arc::new(Service::new(Parts {
        authority,
        keys: ServerKeys::generate(),
        database: database.clone(),
        directory: Arc::new(server.clone()),
        clock: clock::system(),
        seed: [0; 32],
        targets: crate::targets::Targets::new(true),
    }));
    let publisher =
        publisher::run(database.clone(), Arc::new(server.clone()), service.revoked(), clock::system());
    let mut tasks = JoinSet::new();
    tasks.spawn(calls(login.unwrap(), service));
    tasks.spawn(publisher);

    let Host { handle: client, .. } = host(&network, 5, None).await;
    let addresses = server.listeners();
    let ask = async |request: Request| {
        Response::read(&client.login(&addresses, request.to_bytes()).await.unwrap()).unwrap()
    };
    let alice = Username::parse("alice").unwrap();
    let (enrolment, request) = Enrolment::start(&network, &alice, b"correct horse").unwrap();
    let Response::EnrolStarted(started) = ask(request).await else { panic!("not started") };
    let finish = enrolment.finish(&started, &device).unwrap();
    let Response::Certified(_) = ask(finish).await else { panic!("not certified") };

    let Response::Seeds(seeds) = ask(Request::Seeds(Seeds { count: 5 })).await else { panic!("no seeds") };
    let seeds: Vec<Hint> = seeds.iter().map(|hint| Hint::from_bytes(hint).unwrap()).collect();
    assert_eq!(seeds.iter().map(|hint| hint.certificate.node).collect::<Vec<_>>(), [own]);

    let (peer, target) = (client.peer(), device.public());
    let proof = Claim::Revoke { username: &alice, peer: &peer, device: &target }.sign(&network.id, &device);
    let revoke = Revoke { username: "alice".into(), device: target, target, proof };
    assert_eq!(ask(Request::Revoke(revoke)).await, Response::Revoked);
    while !database.pending_epochs(clock::wall(), 1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    client.stop().await;
    server.stop().await;
    tasks.shutdown().await;
}
