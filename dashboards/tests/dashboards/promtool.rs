//! What Prometheus itself says: every expression parses, every rule passes its unit tests.
//!
//! Needs `promtool` (Debian: package prometheus), which `.ci/run` installs. Without it nothing is checked
//! here, and that is said.

use std::fs;
use std::path::Path;
use std::process::Command;

use callbook_dashboards::all;
use callbook_dashboards::files::{files, folder};
use callbook_dashboards::verify::{Chosen, filled};

/// What Grafana's variables stand for here.
pub(crate) const CHOSEN: Chosen<'_> = Chosen { range: "1h", rate_interval: "1m", observer: "a" };

/// Runs it in a folder; `None` without it.
#[expect(clippy::print_stderr, reason = "who runs the tests should know what was not checked")]
pub(crate) fn promtool(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = match Command::new("promtool").current_dir(folder).args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("not checked, promtool can't be run (Debian: package prometheus): {error}");
            return None;
        }
    };
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {text}");
    Some(text)
}

#[test]
fn every_expression_of_every_panel_is_valid() {
    // Goal: nothing that Prometheus 2.42 does not know. Method: a rule for each, with Grafana's variables
    // filled in; and one that is wrong, which must be refused.
    let room = tempfile::tempdir().unwrap();
    let mut rules = String::from("groups:\n  - name: panels\n    rules:\n");
    let mut number = 0;
    for query in all().iter().flat_map(|board| board.all_panels()).flat_map(|panel| &panel.queries) {
        number += 1;
        let expr = filled(&query.expr, &CHOSEN);
        rules
            .push_str(&format!("      - record: panel:query:{number}\n        expr: |-\n          {expr}\n"));
    }
    fs::write(room.path().join("panels.yml"), &rules).unwrap();
    let Some(said) = promtool(room.path(), &["check", "rules", "panels.yml"]) else { return };
    assert!(said.contains(&format!("{number} rules found")), "{said}");
    let wrong =
        "groups:\n  - name: wrong\n    rules:\n      - record: panel:query:x\n        expr: info(up)\n";
    fs::write(room.path().join("wrong.yml"), wrong).unwrap();
    let refused = std::panic::catch_unwind(|| promtool(room.path(), &["check", "rules", "wrong.yml"]));
    assert!(refused.is_err());
}

#[test]
fn rules_and_configuration_are_valid_and_pass_their_unit_tests() {
    // Goal: alerts fire when they should and not otherwise. Method: promtool's own checks of each file.
    let prometheus = folder().join("prometheus");
    let config = files().into_iter().any(|file| file.path.ends_with("prometheus.yml"));
    assert!(config);
    if promtool(&prometheus, &["check", "config", "prometheus.yml"]).is_none() {
        return;
    }
    for entry in fs::read_dir(prometheus.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        promtool(&prometheus, &["test", "rules", path.to_str().unwrap()]);
    }
}
