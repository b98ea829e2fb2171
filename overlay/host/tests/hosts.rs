//! Hosts on loopback: overlay, login requests, store, metrics and errors, through the handle alone.

#![expect(clippy::unwrap_used, reason = "a test whose set-up fails has failed")]

mod series;
mod world;

use std::time::Duration;

use callbook_host::{Host, LoginCall, LoginError, Settings, StartError, StoreSetting, Transports, start};
use callbook_overlay::api::{Command, Notice, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::world::{Peer, World, any, bytes};

/// Longer than anything here takes; a test that waits for ever tells nothing.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

#[tokio::test]
async fn a_name_registered_on_one_child_is_found_from_another() {
    // Goal: the whole path through drivers and streams. Method: two superpeers and two children that are
    // seeded with one of them each; one registers a name, the other resolves it; over each transport.
    for transports in [Transports::Both, Transports::TcpOnly, Transports::QuicOnly] {
        let world = World::new();
        let first = Peer::start(Settings { transports, ..world.superpeer(1) }).await;
        let second = Peer::start(Settings { transports, ..world.superpeer(2) }).await;
        second.command(Command::Seeds(first.sample().await)).await;
        let mut alice = Peer::start(Settings { transports, ..world.child(3) }).await;
        let mut bob = Peer::start(Settings { transports, ..world.child(4) }).await;
        alice.command(Command::Seeds(first.sample().await)).await;
        bob.command(Command::Seeds(second.sample().await)).await;
        in_time(alice.notice(|notice| matches!(notice, Notice::Attached(_)))).await;
        in_time(bob.notice(|notice| matches!(notice, Notice::Attached(_)))).await;
        let reply = in_time(alice.command(Command::Register(Box::new(world.held("alice", 5))))).await;
        assert!(matches!(reply, Reply::Registered(_)), "{transports:?}: {reply:?}");
        let found = in_time(bob.resolve("alice")).await;
        assert_eq!(found.devices.len(), 1, "{transports:?}: {found:?}");
        assert_eq!(found.devices[0].payload.peer, alice.handle.peer());
        for peer in [alice, bob, second, first] {
            in_time(peer.handle.stop()).await;
        }
    }
}

#[tokio::test]
async fn what_happens_at_the_very_start_is_noticed() {
    // Goal: nobody is too late for the first notice. Method: a superpeer joins as it starts; it is listened to after
    // it has answered. A listener of one's own (control) hears nothing any more.
    let world = World::new();
    let Host { handle, mut notices, .. } = start(world.superpeer(1)).await.unwrap();
    in_time(handle.command(Command::Status)).await.unwrap();
    let late = handle.notices();
    assert!(matches!(notices.try_recv(), Ok(Notice::Joined(_))));
    assert!(late.is_empty());
    in_time(handle.stop()).await;
}

#[tokio::test]
async fn superpeers_see_each_other_from_their_first_word_on() {
    // Goal: sessions of superpeers begin when they do, however busy their links are. Method: one that starts as a
    // superpeer, and one that was a child at first, see another before any hello can have told.
    let world = World::new();
    let shown = |settings| Settings { metrics_listen: Some(any()), ..settings };
    let first = Peer::start(shown(world.superpeer(1))).await;
    let Settings { role, .. } = world.superpeer(2);
    let mut second = Peer::start(shown(Settings { listen: Some(any()), ..world.child(2) })).await;
    second.command(Command::Seeds(first.sample().await)).await;
    in_time(second.notice(|notice| matches!(notice, Notice::Attached(_)))).await;
    second.command(Command::Act(role)).await;
    let third = Peer::start(shown(world.superpeer(3))).await;
    for peer in [&second, &third] {
        peer.command(Command::Seeds(first.sample().await)).await;
        let none = "callbook_peers_online{role=\"superpeer\"} 0\n";
        in_time(async { while get(peer, "/metrics").await.contains(none) {} }).await;
    }
    for peer in [third, second, first] {
        in_time(peer.handle.stop()).await;
    }
}

#[tokio::test]
async fn a_superpeer_that_stops_is_missed_at_once_and_forgets_nothing() {
    // Goal: a goodbye ends links, and the store keeps what was acknowledged. Method: one superpeer with a
    // store; a child registers; the superpeer stops (the child loses its parent) and comes back on the
    // same port, from whose store alone a new child can resolve the name.
    let folder = tempfile::tempdir().unwrap();
    let store = StoreSetting::Path(folder.path().join("store.redb"));
    let world = World::new();
    let parent = Peer::start(Settings { store: store.clone(), ..world.superpeer(1) }).await;
    let seeds = parent.sample().await;
    let address = seeds[0].addresses[0];
    let mut alice = Peer::start(world.child(2)).await;
    alice.command(Command::Seeds(seeds.clone())).await;
    in_time(alice.notice(|notice| matches!(notice, Notice::Attached(_)))).await;
    let reply = in_time(alice.command(Command::Register(Box::new(world.held("alice", 3))))).await;
    assert!(matches!(reply, Reply::Registered(_)), "{reply:?}");
    let stopped = parent.handle.clone();
    in_time(parent.handle.stop()).await;
    assert!(stopped.command(Command::Status).await.is_err());
    in_time(alice.notice(|notice| matches!(notice, Notice::Detached(_)))).await;
    in_time(alice.handle.stop()).await;

    let listen = Some((address.ip, address.port).into());
    let parent = Peer::start(Settings { store, listen, ..world.superpeer(1) }).await;
    let mut bob = Peer::start(world.child(4)).await;
    bob.command(Command::Seeds(seeds)).await;
    in_time(bob.notice(|notice| matches!(notice, Notice::Attached(_)))).await;
    assert_eq!(in_time(bob.resolve("alice")).await.devices.len(), 1);
    in_time(bob.handle.stop()).await;
    in_time(parent.handle.stop()).await;
}

#[tokio::test]
async fn a_login_request_reaches_the_server_and_its_answer_comes_back() {
    // Goal: opaque bytes both ways, with the asker's PeerId and address. Method: a server that turns
    // requests round, asked twice (dialled, then over the same connection) over each transport.
    let world = World::new();
    for transports in [Transports::Both, Transports::TcpOnly, Transports::QuicOnly] {
        let server = Settings { serves_login: true, transports, ..world.superpeer(1) };
        let Host { handle: server, login, .. } = start(server).await.unwrap();
        let mut calls = login.unwrap();
        let client = Peer::start(Settings { transports, ..world.child(2) }).await;
        for request in ["one", "two"] {
            let served = async {
                let LoginCall { peer, address, request, reply } = calls.recv().await.unwrap();
                assert_eq!((peer, address), (client.handle.peer(), Some(any().ip())));
                reply.send([b"re: ", &request[..]].concat().into()).unwrap();
            };
            let addresses = server.listeners();
            let asked = client.handle.login(&addresses, bytes(request));
            let (answer, ()) = in_time(async { tokio::join!(asked, served) }).await;
            assert_eq!(answer.unwrap(), format!("re: {request}"), "{transports:?}");
        }
        in_time(client.handle.stop()).await;
        in_time(server.stop()).await;
    }
}

#[tokio::test]
async fn a_login_that_cannot_work_says_why() {
    // Goal: each cause has its own error. Method: no address; a server that is gone; a peer that is no
    // login server; a service that drops the call; a request that is too large.
    let world = World::new();
    let client = Peer::start(world.child(2)).await;
    let ask = async |addresses: &[_]| in_time(client.handle.login(addresses, bytes("hello"))).await;
    assert_eq!(ask(&[]).await, Err(LoginError::NoServer));
    let large = client.handle.login(&[], vec![0; 65 * 1024].into()).await;
    assert_eq!(large, Err(LoginError::TooLarge));

    let plain = Peer::start(world.superpeer(1)).await;
    let addresses = plain.handle.listeners();
    let answer = ask(&addresses).await;
    assert!(matches!(answer, Err(LoginError::Refused(_))), "{answer:?}");
    in_time(plain.handle.stop()).await;
    // The first request may still find the connection that is closing.
    let mut answer = ask(&addresses).await;
    while answer == Err(LoginError::Interrupted) {
        answer = ask(&addresses).await;
    }
    assert!(matches!(answer, Err(LoginError::Unreachable(_))), "{answer:?}");

    let server = Settings { serves_login: true, ..world.superpeer(3) };
    let Host { handle: server, login, .. } = start(server).await.unwrap();
    drop(login);
    let answer = ask(&server.listeners()).await;
    assert!(matches!(answer, Err(LoginError::Refused(_))), "{answer:?}");
    in_time(server.stop()).await;
}

#[tokio::test]
async fn what_prevents_a_start_is_named() {
    // Goal: the message of each cause. Method: a port that another host holds, an address of no machine
    // here, a wildcard that nobody could dial, a store that another host holds.
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let store = StoreSetting::Path(folder.path().join("store.redb"));
    let first = Peer::start(Settings { store: store.clone(), ..world.superpeer(1) }).await;
    let taken = first.sample().await[0].addresses[0];
    let refused = async |settings: Settings| start(settings).await.expect_err("it must not start");

    let error = refused(Settings { listen: Some((taken.ip, taken.port).into()), ..world.superpeer(2) }).await;
    assert!(matches!(error, StartError::PortInUse { .. }), "{error}");
    assert!(error.to_string().contains("another port with --listen"), "{error}");
    let quic = Settings { transports: Transports::QuicOnly, ..world.superpeer(2) };
    let error = refused(Settings { listen: Some((taken.ip, taken.port).into()), ..quic }).await;
    assert!(matches!(error, StartError::PortInUse { protocol: "UDP", .. }), "{error}");
    let elsewhere = "192.0.2.1:4001".parse().unwrap();
    let error = refused(Settings { listen: Some(elsewhere), ..world.superpeer(2) }).await;
    assert!(matches!(error, StartError::NotLocal { .. }), "{error}");
    let error = refused(Settings { listen: Some("0.0.0.0:0".parse().unwrap()), ..world.superpeer(2) }).await;
    assert!(matches!(error, StartError::Wildcard(_)), "{error}");
    let error = refused(Settings { store, ..world.superpeer(2) }).await;
    assert!(matches!(error, StartError::Store(_)) && error.to_string().contains("in use"), "{error}");
    in_time(first.handle.stop()).await;
}

#[tokio::test]
async fn metrics_and_health_are_served() {
    // Goal: one page with the overlay's, libp2p's and the process's metrics, all combinations there, and
    // health that tells ready from not. Method: a superpeer and a child without a parent are asked.
    let world = World::new();
    let metrics_listen = Some(any());
    let superpeer = Peer::start(Settings { metrics_listen, ..world.superpeer(1) }).await;
    let child = Peer::start(Settings { metrics_listen, ..world.child(2) }).await;
    let page = get(&superpeer, "/metrics").await;
    assert!(page.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{page}");
    for line in [
        "callbook_lookups_total{op=\"resolve\",result=\"found\",source=\"overlay\"} 0",
        "callbook_requests_served_total{kind=\"resolve\",result=\"ok\"} 0",
        "callbook_node_role{role=\"superpeer\"} 1",
        "callbook_link_ends_total{reason=\"unreadable\"} 0",
        "callbook_link_frames_total{direction=\"sent\"}",
        "callbook_store_commits_total 0",
        "callbook_build_info{version=\"callbook-test/0\",revision=\"unknown\"} 1",
        "libp2p_swarm_dial_attempt_total",
        "process_resident_memory_bytes",
        "# EOF",
    ] {
        assert!(page.contains(line), "{line} is missing in:\n{page}");
    }
    assert!(get(&superpeer, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(&superpeer, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(&child, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(&child, "/readyz").await.starts_with("HTTP/1.1 503"));
    in_time(child.handle.stop()).await;
    in_time(superpeer.handle.stop()).await;
}

async fn get(peer: &Peer, path: &str) -> String {
    let mut stream = TcpStream::connect(peer.handle.metrics_address().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_host_that_nobody_holds_stops() {
    // Goal: dropping the last handle ends the host, metrics listener included. Method: notices end when
    // the driver is gone.
    let world = World::new();
    let Host { handle, .. } =
        start(Settings { metrics_listen: Some(any()), ..world.superpeer(1) }).await.unwrap();
    let mut notices = handle.notices();
    drop(handle);
    in_time(async { while notices.recv().await.is_ok() {} }).await;
}
