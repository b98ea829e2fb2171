//! Clocks that are off by hours.
//!
//! Needs `faketime` (a package of that name in most distributions), which puts a wrong wall clock under
//! a process; `.ci/run` installs it. Without it these tests check nothing, and say so.

use std::process::Command;

use callbook_e2e::{Network, Outcome, PASSWORD, Program, at_once, until};

/// The library that fakes the time, if it is installed.
fn faketime() -> Option<String> {
    let asked = Command::new("faketime").args(["-f", "+1h", "printenv", "LD_PRELOAD"]).output();
    let found = asked.ok().filter(|output| output.status.success());
    if found.is_none() {
        #[expect(clippy::print_stderr, reason = "a test that checks nothing must say so")]
        {
            eprintln!("faketime is not installed: nothing is checked");
        }
    }
    Some(String::from_utf8_lossy(&found?.stdout).trim().to_owned())
}

fn shifted<'a>(command: &'a mut Command, library: &str, by: &str) -> &'a mut Command {
    // Only the wall clock: deadlines go by the other one.
    command.env("LD_PRELOAD", library).env("FAKETIME", by).env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

#[test]
fn a_daemon_whose_clock_is_hours_ahead_says_so_resolves_and_publishes_nothing() {
    // Goal: a warning that names the clock, read-only meanwhile. Method: a child three hours ahead.
    let Some(library) = faketime() else { return };
    let network = Network::start();
    let [home] = network.children();
    home.enrol("alice");
    let mut ahead = network.peer("ahead", &["--role", "child"]);
    let mut up = ahead.up();
    shifted(&mut up, &library, "+3h");
    ahead.start_with(up);
    ahead.wait("attached");
    let event = ahead.process.as_mut().expect("it runs").event("skewed");
    let near = |seconds: &serde_json::Value| seconds.as_i64().is_some_and(|off| (off - 10_800).abs() < 300);
    assert!(near(&event["seconds"]), "{event}");
    let status = ahead.status();
    assert!(near(&status["skew_secs"]), "{status}");
    assert!(status["warnings"].to_string().contains("clock"), "{status}");
    ahead.find("alice");
    let error = ahead.account("enrol", "late-bob", PASSWORD).refused(1, "clock_skewed");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("clock")), "{error}");
    assert_eq!(home.ask(&["lookup", "late-bob"]).code, Some(3), "nothing was published");
    let log = home.process.as_ref().expect("it runs").log();
    assert!(!log.contains("the clock is"), "one wrong clock is not everybody's:\n{log}");
}

#[test]
fn a_daemon_whose_clock_is_hours_behind_says_that_it_is_the_clock() {
    // Goal: certificates of the future don't look like an attack. Method: a child three hours behind.
    let Some(library) = faketime() else { return };
    let network = Network::start();
    let mut behind = network.peer("behind", &["--role", "child"]);
    let mut up = behind.up();
    shifted(&mut up, &library, "-3h");
    behind.start_with(up);
    let warning = until("it warns", || {
        let status = behind.status();
        let warnings = status["warnings"].as_array().expect("a list").clone();
        warnings.into_iter().find(|warning| warning.as_str().is_some_and(|text| text.contains("behind")))
    });
    let error = behind.ask(&["wait", "--for", "attached", "--timeout", "100ms"]).refused(5, "timeout");
    assert_eq!(error["message"], warning);
}

#[test]
fn a_login_server_whose_clock_is_wrong_refuses_to_certify() {
    // Goal: no certificate with impossible times. Method: serve a day before the network was made, and
    // after its login key's certificate ended.
    let Some(library) = faketime() else { return };
    let network = Network::made();
    at_once([("-24h", "clock"), ("+100d", "login_key")], |(by, code)| {
        let folder = network.room.path(code);
        std::fs::create_dir(&folder).expect("a new folder");
        for entry in std::fs::read_dir(network.folder()).expect("the server's folder") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
        }
        let mut command = network.room.command(Program::Bootstrap);
        command.args(["--json", "serve", "--data"]).arg(&folder);
        shifted(&mut command, &library, by);
        Outcome::of(command, None).refused(1, code);
    });
}
