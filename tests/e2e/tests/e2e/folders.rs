//! What can be wrong with a daemon's folder, files and sockets: each a clear message and its exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use callbook_e2e::{Network, Outcome, PASSWORD, Peer, Program};
use redb::{Database, TableDefinition};

fn mode(path: &Path) -> u32 {
    let facts = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    facts.permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}

fn message(error: &serde_json::Value) -> &str {
    error["message"].as_str().expect("a message")
}

#[test]
fn a_second_daemon_on_a_folder_is_refused_and_names_the_first() {
    // Goal: exit 1 with the process id and what to run; the first goes on. Method: start twice.
    let mut network = Network::made();
    let mut child = network.peer("child", &["--role", "child"]);
    child.start();
    let error = child.start_refused().refused(1, "folder_locked");
    let id = child.process.as_ref().expect("it runs").id().to_string();
    assert!(message(&error).contains(&id), "{error}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains(" down")), "{error}");
    assert_eq!(child.status()["pid"].to_string(), id);
    network.serve();
    let server = network.server.as_ref().expect("it runs").id().to_string();
    let data = network.folder().to_str().expect("temporary paths are text");
    let second = network.room.run(Program::Bootstrap, ["--json", "serve", "--data", data]);
    assert!(message(&second.refused(1, "folder_in_use")).contains(&server));
}

#[test]
fn a_port_that_is_in_use_is_named() {
    // Goal: exit 1 and the address, for TCP, UDP, server and metrics. Method: sockets of the test's own.
    let network = Network::made();
    let tcp = std::net::TcpListener::bind((network.room.address(), 0)).expect("a free port");
    let udp = std::net::UdpSocket::bind((network.room.address(), 0)).expect("a free port");
    let taken = [tcp.local_addr(), udp.local_addr()].map(|address| address.expect("it is bound").to_string());
    for (index, taken) in taken.iter().enumerate() {
        let flags = ["--role", "child", "--network", "server/network.toml", "--listen", taken];
        let peer = Peer::new(network.room.clone(), &format!("listens-{index}"), &flags);
        let error = peer.start_refused().refused(1, "port_in_use");
        assert!(message(&error).contains(taken), "{error}");
    }
    let settings = fs::read_to_string(network.folder().join("server.toml")).expect("the server's settings");
    let fixed = settings.lines().find_map(|line| line.strip_prefix("listen = ")).expect("an address");
    let fixed = fixed.trim_matches('"');
    let _held = std::net::TcpListener::bind(fixed).expect("the server doesn't run");
    let data = network.folder().to_str().expect("temporary paths are text");
    let server = network.room.run(Program::Bootstrap, ["--json", "serve", "--data", data]);
    assert!(message(&server.refused(1, "port_in_use")).contains(fixed));
    let peer = network.peer("metrics", &["--role", "child", "--metrics-listen", &taken[0]]);
    assert!(message(&peer.start_refused().refused(1, "port_in_use")).contains(&taken[0]));
}

#[test]
fn a_folder_that_can_not_be_written_is_named() {
    // Goal: exit 1, also for root. Method: a folder below a plain file.
    let network = Network::made();
    network.room.write("file", "");
    let peer = network.peer("file/data", &["--role", "child"]);
    let refused = peer.start_refused();
    assert!(message(&refused.refused(1, "folder_unwritable")).contains("file/data"));
    let below = network.room.path("file/server");
    let below = below.to_str().expect("temporary paths are text");
    let init = ["--json", "init", "--network", "demo", "--data", below];
    assert!(message(&network.room.run(Program::Bootstrap, init).refused(1, "folder")).contains(below));
}

#[test]
fn a_damaged_or_newer_store_is_refused_and_left_as_it_is() {
    // Goal: exit 1, which file, and no byte of it changed. Method: damage a copy of the file; stamp a
    // later schema on another.
    let network = Network::start();
    let [mut child] = network.children();
    child.enrol("alice");
    child.stop();
    let path = child.data().join("store.redb");
    let whole = fs::read(&path).expect("the store is there");

    let mut damaged = whole.clone();
    let half = damaged.len() / 2;
    damaged[..half].fill(0xa5);
    fs::write(&path, &damaged).expect("our own file");
    let error = child.start_refused().refused(1, "store_corrupt");
    assert!(message(&error).contains("store.redb"), "{error}");
    assert_eq!(fs::read(&path).expect("the store is there"), damaged);

    fs::write(&path, &whole).expect("our own file");
    let database = Database::create(&path).expect("a store");
    let write = database.begin_write().expect("a transaction");
    let meta = TableDefinition::<&str, u64>::new("meta");
    let before = write
        .open_table(meta)
        .expect("a table")
        .insert("schema", 99)
        .expect("a write")
        .map(|old| old.value());
    assert!(before.is_some_and(|schema| schema < 99), "the store has a schema number");
    write.commit().expect("a commit");
    drop(database);
    let error = child.start_refused().refused(1, "store_newer");
    assert!(message(&error).contains("store.redb") && message(&error).contains("99"), "{error}");

    // The way out that the hint names: without the file, and nothing is lost.
    fs::remove_file(&path).expect("our own file");
    child.start();
    child.wait("registered");
}

#[test]
fn damaged_keys_and_names_are_refused_and_newer_ones_too() {
    // Goal: no new identity in silence. Method: overwrite each file, start, put it back.
    let network = Network::start();
    let [mut child] = network.children();
    child.enrol("alice");
    child.stop();
    let files = [
        ("node.key", "callbook key 1 node 00ff", "file_corrupt"),
        ("node.key", "", "file_corrupt"),
        ("node.key", "callbook key 2 node 00ff", "store_newer"),
        ("names/alice.toml", "schema = 1\nsurprise = true\n", "file_corrupt"),
        ("names/alice.toml", "schema = 2\n", "store_newer"),
    ];
    for (name, content, code) in files {
        let path = child.data().join(name);
        let whole = fs::read(&path).expect("the file is there");
        fs::write(&path, content).expect("our own file");
        let error = child.start_refused().refused(1, code);
        assert!(message(&error).contains(name), "{error}");
        fs::write(&path, whole).expect("our own file");
    }
    child.start();
    child.wait("registered");
}

#[test]
fn keys_are_private_and_the_socket_is_for_its_group() {
    // Goal: modes of all files that matter. Method: look at them while everything runs.
    let network = Network::start();
    let [superpeer] = network.superpeers();
    let [child] = network.children();
    child.enrol("alice");
    for name in ["root.key", "login.key", "node.key", "passwords.key", "node.token", "accounts.sqlite"] {
        assert_eq!(mode(&network.folder().join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&superpeer.data().join("node.certificate")), 0o600);
    for peer in [&superpeer, &child] {
        assert_eq!(mode(&peer.data().join("node.key")), 0o600);
        assert_eq!(mode(&peer.data().join("store.redb")), 0o600);
        assert_eq!(mode(peer.data()), 0o750);
        let socket = Path::new(peer.ready()["socket"].as_str().expect("a path")).to_owned();
        assert!(socket.starts_with(network.room.path("run")), "{}", socket.display());
        assert_eq!(mode(&socket), 0o660);
        assert_eq!(mode(socket.parent().expect("a folder")), 0o750);
    }
    assert_eq!(mode(&child.data().join("names/alice.toml")), 0o600);
    let log = child.process.as_ref().expect("it runs").log();
    assert!(!log.contains("alice") && !log.contains(PASSWORD), "no username at INFO:\n{log}");
}

#[test]
fn without_a_runtime_folder_or_with_a_long_path_the_socket_is_found_all_the_same() {
    // Goal: commands find the daemon wherever its socket is. Method: no XDG_RUNTIME_DIR; then a data
    // folder whose path is longer than a socket's may be, too.
    let network = Network::made();
    for name in ["short".to_owned(), "long".repeat(30)] {
        let mut peer = network.peer(&name, &["--role", "child"]);
        let mut up = peer.up();
        up.env_remove("XDG_RUNTIME_DIR");
        peer.start_with(up);
        let mut status = peer.command(&["status", "--json"]);
        status.env_remove("XDG_RUNTIME_DIR");
        assert_eq!(Outcome::of(status, None).ok()["socket"], peer.ready()["socket"]);
        peer.stop();
    }
}

#[test]
fn without_a_daemon_or_permission_commands_say_so() {
    // Goal: exit 4 and what to do, for every command. Method: a folder without a daemon, one whose
    // daemon was killed, and a socket that this user may not use.
    let network = Network::made();
    let mut child = network.peer("child", &["--role", "child"]);
    let commands: [&[&str]; 7] = [
        &["status"],
        &["peers"],
        &["down"],
        &["lookup", "alice"],
        &["register", "--name", "alice"],
        &["logout", "alice"],
        &["wait", "--for", "attached", "--timeout", "100ms"],
    ];
    for command in commands {
        let error = child.ask(command).refused(4, "no_daemon");
        assert!(
            error["hint"].as_str().is_some_and(|hint| hint.contains("callbook") && hint.contains("up")),
            "{error}"
        );
    }
    child.account("enrol", "alice", PASSWORD).refused(4, "no_daemon");
    child.start();
    let status = |child: &Peer| {
        let mut command = child.command(&["status", "--json"]);
        let socket = Path::new(child.ready()["socket"].as_str().expect("a path"));
        if mode(socket) == 0 && rustix::process::geteuid().is_root() {
            // Root may use every socket; nobody may not.
            command.uid(65_534).gid(65_534);
        }
        Outcome::of(command, None)
    };
    status(&child).ok();
    for folder in [network.room.folder(), child.data()] {
        set_mode(folder, 0o755);
    }
    set_mode(Path::new(child.ready()["socket"].as_str().expect("a path")), 0);
    let error = status(&child).refused(4, "socket_permission");
    assert!(message(&error).contains(".sock"), "{error}");
    child.kill();
    child.ask(&["status"]).refused(4, "no_daemon");
}
