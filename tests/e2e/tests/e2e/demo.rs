//! `callbook demo`.

use std::fs;

use callbook_e2e::{Outcome, Process, Program, Room, Signal, alive, until};

#[test]
fn the_demo_ends_with_0_when_every_look_up_was_right() {
    // Goal: the README's first command. Method: run it once, and read its document.
    let room = Room::new();
    let demo = room.run(Program::Callbook, ["--json", "demo", "--once"]).ok();
    assert_eq!((&demo["superpeers"], &demo["children"], &demo["wrong"]), (&6.into(), &12.into(), &0.into()));
    let lookups = demo["lookups"].as_array().expect("a list");
    assert_eq!(lookups.len(), 3 * 12 * 11, "everybody is looked up from everywhere else in each act");
    assert!(lookups.iter().all(|lookup| lookup["right"] == true), "{demo}");
    let crossed = lookups.iter().filter(|lookup| lookup["source"] == "overlay").count();
    assert_eq!(demo["crossed"], crossed, "{demo}");
    let acts = demo["acts"].as_array().expect("a list");
    let names: Vec<_> = acts.iter().map(|act| act["act"].as_str().expect("a text")).collect();
    assert_eq!(names, ["settled", "superpeer_killed", "server_stopped"]);
    let rehomed = acts[1]["rehomed"].as_array().expect("a list");
    assert!(!rehomed.is_empty(), "of 12 children some have the parent that has most: {demo}");
    assert!(rehomed.iter().all(|child| child["parent"].is_string()), "{demo}");
    let folder = demo["folder"].as_str().expect("a path");
    assert!(!std::path::Path::new(folder).exists(), "a temporary folder goes with the demo");
}

#[test]
fn the_demo_takes_a_list_of_names() {
    // Goal: real input in bulk. Method: 50 names in a file; then a file with one that is no name.
    let room = Room::new();
    let names: String = (1..=50).map(|number| format!("person-{number}\n")).collect();
    let file = room.write("names.txt", names);
    let file = file.to_str().expect("temporary paths are text");
    let demo = room.run(Program::Callbook, ["--json", "demo", "--once", "--names", file]).ok();
    assert_eq!((&demo["enrolled"], &demo["wrong"]), (&50.into(), &0.into()), "{demo}");
    assert_eq!(demo["bulk"]["names"], 50, "{demo}");
    let crossed = demo["bulk"]["sources"]["overlay"].as_u64();
    assert!(crossed.is_some_and(|count| count > 0), "of so many some cross the overlay: {demo}");
    assert_eq!(demo["crossed"].as_u64(), crossed, "{demo}");
    for phase in ["enrol", "register", "resolve"] {
        assert!(demo["bulk"]["per_second"][phase].as_f64().is_some_and(|rate| rate > 0.0), "{demo}");
    }
    let wrong = room.write("wrong.txt", "alice\nnot a name\n");
    let wrong = wrong.to_str().expect("temporary paths are text");
    let refused = room.run(Program::Callbook, ["--json", "demo", "--once", "--names", wrong]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

#[test]
fn a_demo_that_is_killed_leaves_no_process_behind() {
    // Goal: children leave when their parent's pipe closes, also on SIGKILL; Ctrl-C ends it cleanly too.
    // Method: a small demo in a folder of the test's, whose locks name its processes.
    let room = Room::new();
    for (name, signal, code) in [("killed", Signal::KILL, None), ("interrupted", Signal::INT, Some(0))] {
        let folder = room.path(name);
        let mut command = room.command(Program::Callbook);
        command.args(["--json", "demo", "--superpeers", "1", "--children", "2", "--data"]).arg(&folder);
        let mut demo = Process::start(&room, &format!("demo-{name}"), command);
        let peers = ["server", "sp-1", "child-1", "child-2"];
        until("the demo has printed its document", || {
            let printed = fs::read_to_string(room.path(&format!("demo-{name}.out"))).unwrap_or_default();
            printed.ends_with("}\n").then_some(())
        });
        let ids = peers.map(|peer| -> u32 {
            let lock = fs::read_to_string(folder.join(peer).join("lock")).expect("a lock names its process");
            lock.trim().parse().expect("a process id")
        });
        assert!(ids.iter().all(|id| alive(*id)), "the demo stays until it is told to leave");
        demo.signal(signal);
        assert_eq!(demo.end(), code);
        until("its processes are gone", || ids.iter().all(|id| !alive(*id)).then_some(()));
    }
}

#[test]
fn a_demo_folder_that_is_not_empty_is_refused() {
    // Goal: nobody's files are mixed with the demo's. Method: one file in the folder.
    let room = Room::new();
    fs::create_dir(room.path("used")).expect("a new folder");
    room.write("used/file", "");
    let mut command = room.command(Program::Callbook);
    command.args(["--json", "--data", "used", "demo", "--once"]);
    Outcome::of(command, None).refused(2, "usage");
}
