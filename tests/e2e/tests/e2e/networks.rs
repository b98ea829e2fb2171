//! What can be wrong with `network.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use callbook_e2e::{Network, Peer, Program};
use ed25519_dalek::{Signer, SigningKey};

fn bytes(hexadecimal: &str) -> [u8; 32] {
    let digits = |index: usize| hexadecimal.get(2 * index..2 * index + 2).expect("64 digits");
    std::array::from_fn(|index| u8::from_str_radix(digits(index), 16).expect("hexadecimal digits"))
}

/// The network's file with a change, signed with its root key as DETAILS *Commands* has it.
fn signed_anew(network: &Network, from: &str, to: &str) -> PathBuf {
    let text = fs::read_to_string(network.file()).expect("the network file");
    let (content, signature) = text.split_once("[signature]\n").expect("a signature");
    let id = content.lines().find_map(|line| line.strip_prefix("network_id = ")).expect("an id");
    let id = bytes(id.trim_matches('"'));
    assert!(content.contains(from), "{content}");
    let content = content.replacen(from, to, 1);
    let key = fs::read_to_string(network.folder().join("root.key")).expect("the root key");
    let key = SigningKey::from_bytes(&bytes(key.split_whitespace().last().expect("a key")));
    let tag = [b"callbook 1 sign\0".as_slice(), &[3]].concat();
    let made = key.sign(&[&tag, id.as_slice(), content.as_bytes()].concat()).to_bytes();
    let by = signature.lines().find(|line| line.starts_with("key = ")).expect("who signed");
    let text = format!("{content}[signature]\n{by}\nsignature = \"{}\"\n", BASE64.encode(made));
    network.room.write("changed.toml", text)
}

fn with(network: &Network, name: &str, file: &Path) -> Peer {
    let file = file.to_str().expect("temporary paths are text");
    Peer::new(network.room.clone(), name, &["--role", "child", "--network", file])
}

#[test]
fn a_network_file_that_was_changed_is_refused_wherever_it_was_changed() {
    // Goal: exit 8, and nothing remembered of it. Method: one change in each part of a good file.
    let network = Network::made();
    let text = fs::read_to_string(network.file()).expect("the network file");
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).expect("a line").to_owned();
    let created = line("created = ");
    let signature = line("signature = ");
    let mut swapped = signature.clone();
    let other = if swapped[20..].starts_with('A') { "B" } else { "A" };
    swapped.replace_range(20..21, other);
    let changes = [
        ("version = 1".to_owned(), "version = 2".to_owned()),
        ("limits = \"lab\"".to_owned(), "limits = \"normal\"".to_owned()),
        ("r = 2".to_owned(), "r = 1".to_owned()),
        (created.clone(), format!("{created}0")),
        ("# The network file".to_owned(), "# A network file".to_owned()),
        (signature, swapped),
    ];
    for (from, to) in changes {
        assert!(from != to && text.contains(&from), "{from}");
        let file = network.room.write("tampered.toml", text.replacen(&from, &to, 1));
        with(&network, "child", &file).start_refused().refused(8, "network_signature");
    }
    let mut child = with(&network, "child", &network.file());
    child.start();
    child.stop();
}

#[test]
fn a_newer_network_file_is_taken_and_an_older_one_refused_afterwards() {
    // Goal: the version never goes down. Method: version 1, then 2 signed by the root key, then 1.
    let network = Network::made();
    let newer = signed_anew(&network, "version = 1", "version = 2");
    let mut child = with(&network, "child", &network.file());
    child.start();
    assert_eq!(child.status()["network_version"], 1);
    child.stop();
    let mut child = with(&network, "child", &newer);
    child.start();
    assert_eq!(child.status()["network_version"], 2);
    child.stop();
    let error = with(&network, "child", &network.file()).start_refused().refused(2, "network_older");
    assert!(
        error["message"].as_str().is_some_and(|text| text.contains('1') && text.contains('2')),
        "{error}"
    );
    let mut child = Peer::new(network.room.clone(), "child", &["--role", "child"]);
    child.start();
    assert_eq!(child.status()["network_version"], 2, "the newer one is remembered");
}

#[test]
fn another_network_is_refused_by_a_folder_that_has_one() {
    // Goal: exit 2 and both names. Method: two networks, one folder.
    let network = Network::made();
    let other = Network::made_in(network.room.clone(), "other");
    let mut child = with(&network, "child", &network.file());
    child.start();
    child.stop();
    with(&network, "child", &other.file()).start_refused().refused(2, "network_other");
}

#[test]
fn a_network_file_that_is_none_is_refused_with_what_is_wrong() {
    // Goal: exit 2 with the reason. Method: no file, no TOML, an unknown key that was signed, none at all.
    let network = Network::made();
    with(&network, "child", Path::new("missing.toml")).start_refused().refused(2, "network_unreadable");
    for text in ["", "not = [toml", "name = \"demo\"\n"] {
        let file = network.room.write("wrong.toml", text);
        with(&network, "child", &file).start_refused().refused(2, "network_unreadable");
    }
    let unknown = signed_anew(&network, "protocol_min = 1", "protocol_min = 1\nlimit = 1");
    let error = with(&network, "child", &unknown).start_refused().refused(2, "network_unreadable");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("did you mean `limits`")), "{error}");
    let newer = signed_anew(&network, "protocol_min = 1", "protocol_min = 99");
    let error = with(&network, "child", &newer).start_refused().refused(2, "network_unreadable");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("99")), "{error}");
    let child = Peer::new(network.room.clone(), "child", &["--role", "child"]);
    let error = child.start_refused().refused(2, "network_missing");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("--network")), "{error}");
}

#[test]
fn peers_of_two_networks_never_meet() {
    // Goal: the id is in the protocol's name. Method: a daemon of one network at the address of another's
    // server: it does not attach there, and the other's own child does.
    let network = Network::start();
    let mut other = Network::made_in(network.room.clone(), "other");
    let own = fs::read_to_string(network.folder().join("server.toml")).expect("settings");
    let theirs = fs::read_to_string(other.folder().join("server.toml")).expect("settings");
    let listen = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("listen = ")).expect("an address");
        line.trim_matches('"').rsplit_once(':').expect("a port").1.to_owned()
    };
    let (own, theirs) = (format!("/{}", listen(&own)), format!("/{}", listen(&theirs)));
    // The other network's file, signed by its root, that names our server's port with its own peer.
    let text = fs::read_to_string(other.file()).expect("the network file");
    let addresses = text.lines().find(|line| line.contains("/tcp/")).expect("an address").to_owned();
    let file = signed_anew(&other, &addresses, &addresses.replace(&theirs, &own));
    let mut lost = with(&network, "lost", &file);
    let mut found = other.peer("found", &["--role", "child"]);
    other.serve();
    found.start();
    found.wait("attached");
    drop(other.server.take());
    lost.start();
    lost.ask(&["wait", "--for", "attached", "--timeout", "2s"]).refused(5, "timeout");
    let unknown = network.room.run(Program::Bootstrap, ["--json", "serve", "--data", "nothing"]);
    unknown.refused(2, "no_network");
}
