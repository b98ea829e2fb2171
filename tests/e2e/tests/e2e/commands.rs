//! What holds for commands: signals, settings, documents.

use callbook_e2e::{Network, Outcome, Peer, Process, Program, Signal, until};
use serde_json::Value;

#[test]
fn ctrl_c_ends_a_waiting_command_with_130() {
    // Goal: a command that takes long can be given up. Method: `wait` for what never comes, `lookup` of
    // a daemon that is stopped in its tracks; SIGINT as soon as the command heeds it.
    let network = Network::made();
    let mut child = network.peer("child", &["--role", "child"]);
    child.start();
    let command = |name: &str, arguments: &[&str]| {
        let mut process = Process::start(&network.room, name, child.command(arguments));
        until("the command heeds Ctrl-C", || process.catches(Signal::INT).then_some(()));
        process.signal(Signal::INT);
        assert_eq!(process.end(), Some(130), "{name}");
    };
    command("wait", &["wait", "--for", "attached", "--timeout", "1h"]);
    let daemon = child.process.as_ref().expect("it runs");
    daemon.signal(Signal::STOP);
    command("lookup", &["lookup", "alice"]);
    daemon.signal(Signal::CONT);
}

#[test]
fn daemon_and_server_stop_cleanly_on_each_way_to_stop_them() {
    // Goal: exit 0 and the event `stopped` on SIGTERM, SIGINT and the end of standard input.
    let mut network = Network::made();
    let mut child = network.peer("child", &["--role", "child"]);
    let ways: [fn(&mut Process); 3] =
        [|process| process.signal(Signal::TERM), |process| process.signal(Signal::INT), Process::close_input];
    for way in ways {
        network.serve();
        child.start();
        for process in [&mut child.process, &mut network.server] {
            let process = process.as_mut().expect("it runs");
            way(process);
            assert_eq!(process.end(), Some(0));
            assert_eq!(process.events("stopped").len(), 1);
        }
    }
}

#[test]
fn an_unknown_key_of_the_configuration_is_refused_with_a_suggestion() {
    // Goal: exit 2, the file and the nearest key. Method: misspelt, not TOML, a bad value, no file.
    let network = Network::made();
    let wrong = [
        ("netwrok = \"x\"\n", "unknown key", "did you mean network?"),
        ("[metrics]\nlistn = \"\"\n", "unknown key", "did you mean metrics.listen?"),
        ("role = \"child\n", "line 1", "docs/cli.md"),
        ("role = \"king\"\n", "king", "superpeer"),
        ("listen = 4001\n", "listen", "\""),
    ];
    for (text, what, help) in wrong {
        let file = network.room.write("config.toml", text);
        let file = file.to_str().expect("temporary paths are text");
        let outcome =
            network.room.run(Program::Callbook, ["--json", "--config", file, "--data", "data", "up"]);
        let error = outcome.refused(2, "config_invalid");
        let (message, hint) = (error["message"].as_str(), error["hint"].as_str());
        assert!(message.is_some_and(|text| text.contains(what) && text.contains("config.toml")), "{error}");
        assert!(hint.is_some_and(|text| text.contains(help)), "{error}");
    }
    let none =
        network.room.run(Program::Callbook, ["--json", "--config", "none.toml", "--data", "data", "up"]);
    none.refused(2, "config_invalid");
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    // Goal: `config show --origin` tells which. Method: one setting from each layer.
    let network = Network::made();
    let file =
        network.room.write("config.toml", "role = \"child\"\nlisten = \"127.0.0.1:1\"\nlog = \"warn\"\n");
    let mut command = network.room.command(Program::Callbook);
    command.env("CALLBOOK_CONFIG", file).env("CALLBOOK_LISTEN", "127.0.0.1:2").env("CALLBOOK_LOG", "error");
    command.args(["--json", "--log", "info", "config", "show", "--origin"]);
    let shown = Outcome::of(command, None).ok();
    let setting = |key: &str| {
        let settings = shown["settings"].as_array().expect("a list");
        let found = settings.iter().find(|setting| setting["key"] == key).expect("every key is shown");
        (found["value"].clone(), found["origin"].clone())
    };
    let pair = |value: &str, origin: &str| (Value::from(value), Value::from(origin));
    assert_eq!(setting("log"), pair("info", "flag"));
    assert_eq!(setting("listen"), pair("127.0.0.1:2", "env"));
    assert_eq!(setting("role"), pair("child", "file"));
    assert_eq!(setting("metrics.listen"), pair("127.0.0.1:0", "default"));
}

#[test]
fn errors_are_three_lines_of_text_and_usage_is_exit_2() {
    // Goal: the text form. Method: a command without its daemon; commands that are none.
    let network = Network::made();
    let child = network.peer("child", &[]);
    let outcome = child.ask_for_text(&["status"]);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!((outcome.code, lines.len()), (Some(4), 3), "{outcome:?}");
    assert!(lines[0].starts_with("error: ") && lines[1].starts_with("  help: "), "{outcome:?}");
    assert_eq!(lines[2], "  code: no_daemon");
    assert_eq!(outcome.stdout, "");
    for wrong in
        [&["lookup"][..], &["no-such-command"], &["wait", "--for", "ever"], &["lookup", "a", "--no-such"]]
    {
        assert_eq!(child.ask_for_text(wrong).code, Some(2), "{wrong:?}");
    }
    network.room.run(Program::Callbook, ["--json", "lookup"]).refused(2, "usage");
    network.room.run(Program::Bootstrap, ["--json", "init"]).refused(2, "usage");
    let role = network.peer("role", &["--role", "king"]);
    role.start_refused().refused(2, "usage");
}

#[test]
fn a_file_without_an_end_is_an_error_wherever_a_file_is_named() {
    // Goal: what claims no length is not read into memory. Method: `/dev/zero` for each file.
    let network = Network::made();
    let run = |arguments: &[&str]| {
        let arguments = ["--json", "--data", "data"].iter().chain(arguments).copied();
        network.room.run(Program::Callbook, arguments)
    };
    run(&["up", "--network", "/dev/zero"]).refused(2, "network_unreadable");
    run(&["--config", "/dev/zero", "up"]).refused(2, "config_invalid");
    run(&["up", "--network", "server/network.toml", "--node-token", "/dev/zero"])
        .refused(1, "file_unreadable");
    run(&["login", "alice", "--password-file", "/dev/zero"]).refused(2, "password_needed");
    run(&["demo", "--once", "--names", "/dev/zero"]).refused(1, "file_unreadable");
}

#[test]
fn the_ready_block_names_the_next_command_with_the_whole_path() {
    // Goal: the line works from any folder. Method: a daemon started with a relative folder that has a
    // space in its name.
    let network = Network::made();
    let mut child = Peer::new(network.room.clone(), "my folder", &["--network", "server/network.toml"]);
    let mut command = network.room.command(Program::Callbook);
    command.args(["--data", "my folder", "up", "--json", "--log", "info", "--leave-with-stdin"]);
    command.args(["--network", "server/network.toml", "--role", "child"]);
    child.start_with(command);
    let whole = child.data().canonicalize().expect("it was made");
    assert_eq!(child.ready()["next"], format!("callbook --data '{}' enrol NAME", whole.display()));
}

#[test]
fn text_and_json_tell_the_same() {
    // Goal: every query has both forms, without colours off a terminal. Method: what JSON says must be
    // found in the text.
    let network = Network::start();
    let [home, other] = network.children();
    home.enrol("alice");
    let told = |peer: &Peer, arguments: &[&str], parts: &[&Value]| {
        let text = peer.ask_for_text(arguments);
        assert_eq!(text.code, Some(0), "{text:?}");
        assert!(!text.stdout.contains('\u{1b}'), "{text:?}");
        for part in parts {
            assert!(text.stdout.contains(part.as_str().expect("a text")), "{part} is not in {text:?}");
        }
    };
    let status = home.status();
    told(&home, &["status"], &[&status["peer"], &status["network"], &status["names"][0]["name"]]);
    let found = other.find("alice");
    let device = &found["devices"][0];
    let address = device["addresses"][0].as_str().and_then(|text| text.split("/p2p/").next());
    told(&other, &["lookup", "alice"], &[&found["name"], &device["peer"], &Value::from(address)]);
    let peers = other.ask(&["peers"]).ok();
    told(&other, &["peers"], &[&peers["peers"][0]["relation"]]);
    told(&other, &["wait", "--for", "attached"], &[]);
    told(&home, &["register"], &[&Value::from("alice")]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(home.ask_for_text(&["completions", shell]).stdout.contains("callbook"), "{shell}");
    }
}
