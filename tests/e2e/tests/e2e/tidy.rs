//! What must hold for the repository as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use callbook_e2e::workspace;
use serde_json::Value;

/// Longest source file, in lines. A guess: STYLE.md asks to think again at 600.
const LINES_MAX: usize = 700;

/// Which of our crates a crate may name, in any kind of dependency (STYLE.md *Shape*).
const MAY_NAME: [(&str, &[&str]); 10] = [
    ("callbook-overlay", &[]),
    ("callbook-net", &["callbook-overlay"]),
    ("callbook-host", &["callbook-net", "callbook-overlay"]),
    ("callbook-login", &["callbook-overlay"]),
    ("callbook-bootstrap", &["callbook-login", "callbook-host", "callbook-net", "callbook-overlay"]),
    (
        "callbook",
        &["callbook-bootstrap", "callbook-login", "callbook-host", "callbook-net", "callbook-overlay"],
    ),
    (
        "callbook-bench",
        &[
            "callbook-bootstrap",
            "callbook-e2e",
            "callbook-login",
            "callbook-host",
            "callbook-net",
            "callbook-overlay",
        ],
    ),
    ("callbook-e2e", &["callbook-login", "callbook-net", "callbook-overlay"]),
    ("callbook-sim", &["callbook-overlay"]),
    ("callbook-dashboards", &["callbook-bootstrap", "callbook-e2e", "callbook-host"]),
];

fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = cargo.current_dir(workspace()).args(arguments).output().expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints text")
}

/// All files that belong to the repository.
fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                if !matches!(name, "target" | ".git" | "node_modules") {
                    walk(&path, into);
                }
            } else {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(workspace(), &mut found);
    assert!(found.len() > 100, "the repository is found");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap_or(path).display().to_string()
}

#[test]
fn every_crate_that_comes_in_two_versions_is_on_the_list() {
    // Goal: one version of each, but for those that others force on us. Method: cargo's own list against
    // the committed one, both ways.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("duplicates.txt");
    let text = fs::read_to_string(&path).expect("the list is committed");
    let listed: BTreeSet<&str> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
        .collect();
    let target = "x86_64-unknown-linux-gnu";
    let tree = cargo(&[
        "tree",
        "--workspace",
        "--duplicates",
        "--edges",
        "normal,build",
        "--target",
        target,
        "--locked",
        "--offline",
        "--depth",
        "0",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    let found: BTreeSet<&str> = versions.keys().copied().collect();
    let show = |names: &BTreeSet<&&str>| {
        names.iter().map(|name| format!("{name} {:?}", versions.get(**name))).collect::<Vec<_>>()
    };
    let (new, gone): (BTreeSet<_>, BTreeSet<_>) =
        (found.difference(&listed).collect(), listed.difference(&found).collect());
    assert!(
        new.is_empty() && gone.is_empty(),
        "new duplicates: {:?}; no longer duplicates: {gone:?}. See who brings them with `cargo tree -i NAME@VERSION`; \
         then change our pick, or tests/e2e/duplicates.txt",
        show(&new)
    );
}

/// Whether a line holds a place that doesn't begin in the middle of a longer path or name.
fn names(line: &str, place: &str) -> bool {
    let begins =
        |(at, _): (usize, &str)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
    line.match_indices(place).any(begins)
}

#[test]
fn no_file_names_a_package_registry_or_a_place_on_this_machine() {
    // Goal: the repository works elsewhere. Method: search all files for this checkout, home and cargo's
    // folder, and for the hosts that cargo or the environment are told to fetch from.
    // The registry's name stands in the lock file, as that of its index, and nowhere else.
    let lock = fs::read_to_string(workspace().join("Cargo.lock")).expect("a lock file");
    let index = lock.split("-index\"").next().and_then(|before| before.rsplit('/').next());
    let registry = index.filter(|name| name.contains('.')).expect("a registry's index in Cargo.lock");
    let mut forbidden: BTreeSet<String> =
        ["index.", "static."].map(|host| format!("{host}{registry}")).into();
    forbidden.insert(format!("{}/", workspace().display()));
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo_home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    forbidden.extend(
        [&home, &cargo_home].into_iter().filter(|path| path.len() > 1).map(|path| format!("{path}/")),
    );
    let mut settings: String = ["config.toml", "config"]
        .iter()
        .filter_map(|name| fs::read_to_string(Path::new(&cargo_home).join(name)).ok())
        .collect();
    for (name, value) in std::env::vars() {
        if ["_PROXY", "_INDEX", "_REGISTRY", "_proxy"].iter().any(|end| name.ends_with(end)) {
            settings.push_str(&format!("\"{value}\"\n"));
        }
    }
    let hosts = settings.split("://").skip(1).filter_map(|rest| rest.split(['/', '"', ':', '\n']).next());
    forbidden.extend(hosts.filter(|host| host.contains('.') && *host != "github.com").map(str::to_owned));
    let mut wrong = Vec::new();
    for path in files() {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
        for (number, line) in text.lines().enumerate() {
            if let Some(found) = forbidden.iter().find(|place| names(line, place)) {
                wrong.push(format!("{}:{} names {found}", shown(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_fits_a_reader() {
    // Goal: files stay small. Method: count lines.
    let sources = files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let long: Vec<String> = sources
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).expect("a source file").lines().count();
            (lines > LINES_MAX).then(|| format!("{} has {lines} lines", shown(&path)))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn dependencies_of_our_crates_point_one_way() {
    // Goal: a lower crate never names a higher one. Method: cargo's own description of the workspace.
    let metadata: Value = serde_json::from_str(&cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--locked",
        "--offline",
    ]))
    .expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    assert_eq!(
        names,
        MAY_NAME.iter().map(|(name, _)| *name).collect(),
        "every crate has its row in MAY_NAME"
    );
    for package in packages {
        let (_, allowed) = MAY_NAME.iter().find(|(name, _)| package["name"] == *name).expect("a row");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["name"].as_str().expect("a name");
            assert!(
                !names.contains(name) || allowed.contains(&name),
                "{} may not depend on {name}",
                package["name"]
            );
        }
    }
}
