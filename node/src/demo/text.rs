//! What the demo prints: a table of who found whom, and a paragraph for each act.

use std::fmt::Write as _;

use super::bulk;
use super::fleet::{Fleet, Node};
use crate::cli::output::{plain, shell_word};
use crate::view::{Act, Demo, DemoLookup, Rehomed};

/// Columns and rows of the table that are shown. Guesses: 80 columns, a screen.
const FROM_MAX: usize = 16;
const NAMES_MAX: usize = 24;

/// Wrong look-ups that are shown of an act. A guess: more would hide the rest.
const WRONG_MAX: usize = 8;

/// One line for each name, one column for each child that looked it up.
pub(super) fn matrix(fleet: &Fleet, people: &[String], parents: &[String], lookups: &[DemoLookup]) -> String {
    let children: Vec<&str> = fleet.children.iter().map(|child| child.name.as_str()).collect();
    table(&children, people, parents, lookups)
}

fn table(children: &[&str], people: &[String], parents: &[String], lookups: &[DemoLookup]) -> String {
    let shown = children.get(..FROM_MAX).unwrap_or(children);
    let mut text = format!(" {:<10} {:<8} {:<6}  looked up from child …\n", "NAME", "ON", "PARENT");
    write!(text, " {:<26}", "").unwrap_or_default();
    for (number, _) in (1..).zip(shown) {
        let number: usize = number;
        write!(text, "{number:>3}").unwrap_or_default();
    }
    for ((name, home), parent) in people.iter().zip(children).zip(parents).take(NAMES_MAX) {
        write!(text, "\n {:<10} {home:<8} {parent:<6}", plain(name)).unwrap_or_default();
        for from in shown {
            let found = lookups.iter().find(|lookup| lookup.name == *name && lookup.from == *from);
            write!(text, "{:>3}", found.map_or(".", mark)).unwrap_or_default();
        }
    }
    let hidden = people.len().saturating_sub(NAMES_MAX);
    if hidden > 0 {
        write!(text, "\n … and {hidden} more names").unwrap_or_default();
    }
    let hidden = children.len().saturating_sub(FROM_MAX);
    if hidden > 0 {
        write!(text, "\n … and {hidden} more columns").unwrap_or_default();
    }
    text.push_str(
        "\n Found by the asker's parent: i in its index (it is the name's parent too),\n \
         s in its store, c in its cache, o by asking others (overlay). X is wrong.",
    );
    text
}

/// Where an answer came from, in one letter.
fn mark(lookup: &DemoLookup) -> &'static str {
    match lookup.source.as_deref() {
        _ if !lookup.right => "X",
        Some("index") => "i",
        Some("store") => "s",
        Some("cache") => "c",
        Some("overlay") => "o",
        Some(_) | None => "?",
    }
}

/// The sentence of a superpeer's end.
pub(super) fn killed(victim: &str, rehomed: &[Rehomed]) -> String {
    let lost = rehomed.iter().filter(|orphan| orphan.parent.is_none()).count();
    let slowest = rehomed.iter().map(|orphan| orphan.ms).fold(0.0, f64::max);
    let count = rehomed.len();
    match (count, lost) {
        (0, _) => format!("killed {victim}, which had no children"),
        (1, 0) => format!("killed {victim}, parent of 1; re-homed in {slowest:.0} ms"),
        (_, 0) => format!("killed {victim}, parent of {count}; all re-homed in {slowest:.0} ms"),
        (_, _) => format!("killed {victim}, parent of {count}; {lost} found no other parent"),
    }
}

/// An act: its sentence, who moved where, and how the look-ups went.
pub(super) fn act(act: &Act, table: Option<String>, lookups: &[DemoLookup]) -> String {
    let mut parts = vec![format!("\n* {}", act.sentence)];
    parts.extend(table.map(|table| format!("{table}\n")));
    if !act.rehomed.is_empty() {
        let moved = act.rehomed.iter().map(|orphan| match &orphan.parent {
            Some(parent) => format!("{} to {parent} ({:.0} ms)", orphan.child, orphan.ms),
            None => format!("{} to nobody", orphan.child),
        });
        parts.push(wrapped(&moved.collect::<Vec<_>>()));
    }
    let sources: Vec<String> =
        act.sources.iter().map(|(source, count)| format!("{source} {count}")).collect();
    let right = act.lookups - act.wrong;
    let (median, slowest) = (act.resolve_ms.p50, act.resolve_ms.max);
    parts.push(format!(
        "  {right} of {} look-ups were right: {}\n  median {median:.1} ms, slowest {slowest:.1} ms",
        act.lookups,
        sources.join(", ")
    ));
    let wrong = lookups.iter().filter_map(|lookup| {
        Some(format!("  wrong: {} from {}: {}", lookup.name, lookup.from, plain(lookup.error.as_ref()?)))
    });
    parts.extend(wrong.take(WRONG_MAX));
    if act.wrong > WRONG_MAX {
        parts.push(format!("  … and {} more", act.wrong - WRONG_MAX));
    }
    parts.join("\n")
}

/// Phrases between commas, on lines of at most 80 columns.
fn wrapped(phrases: &[String]) -> String {
    const COLUMNS: usize = 80;
    let mut lines = vec![String::from(" ")];
    for (index, phrase) in phrases.iter().enumerate() {
        let comma = if index + 1 < phrases.len() { "," } else { "" };
        let line = lines.pop().unwrap_or_default();
        if line.chars().count() + phrase.chars().count() + 2 > COLUMNS {
            lines.extend([line, format!("  {phrase}{comma}")]);
        } else {
            lines.push(format!("{line} {phrase}{comma}"));
        }
    }
    lines.join("\n")
}

/// What all acts came to.
pub(super) fn end(demo: &Demo) -> String {
    if let Some(figures) = &demo.bulk {
        let wrong = demo.lookups.iter().filter_map(|lookup| {
            Some(format!("wrong: {} from {}: {}", lookup.name, lookup.from, plain(lookup.error.as_ref()?)))
        });
        let wrong: Vec<String> = wrong.collect();
        let total = figures.names;
        let verdict = format!(
            "{} of {total} look-ups were right; {} crossed the overlay",
            total - demo.wrong.min(total),
            demo.crossed
        );
        let parts = [bulk::text(figures), wrong.join("\n"), verdict];
        return parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
    }
    let (total, wrong) = (demo.lookups.len(), demo.lookups.iter().filter(|lookup| !lookup.right).count());
    format!("\n{} of {total} look-ups in all were right; {} crossed the overlay", total - wrong, demo.crossed)
}

/// What to type while the network goes on.
pub(super) fn invitation(fleet: &Fleet, demo: &Demo, secret: &str) -> String {
    let (Some(first), Some(last)) = (fleet.children.first(), fleet.children.last()) else {
        return String::new();
    };
    let name = demo.lookups.first().map_or("alice", |lookup| lookup.name.as_str());
    let name = if demo.bulk.is_some() { "NAME" } else { name };
    let line = |node: &Node, rest: &str| format!("\n  callbook --data {} {rest}", shell_word(&node.folder));
    format!(
        "\nThe network runs on until Ctrl-C. In another terminal:{}{}{}{}\nEverybody's password is {secret}",
        line(last, &format!("lookup {name} --trace")),
        line(last, &format!("watch {name}")),
        line(first, "status"),
        line(first, "ui"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Percentiles;

    fn lookup(name: &str, from: &str, source: &str) -> DemoLookup {
        let right = source != "none";
        DemoLookup {
            act: 1,
            name: name.into(),
            from: from.into(),
            found: right,
            right,
            addresses: Vec::new(),
            hops: 0,
            source: right.then(|| source.into()),
            ms: 1.0,
            error: (!right).then(|| "not found".into()),
        }
    }

    #[test]
    fn the_table_shows_who_found_whom_and_how() {
        // Goal: a line each, a letter each, in 80 columns also for many. Method: snapshots of three, width of 32.
        let people = ["alice", "bob", "carol"].map(str::to_owned);
        let children = ["child-1", "child-2", "child-3"];
        let parents = ["sp-1", "sp-2", "server"].map(str::to_owned);
        let lookups = [
            lookup("alice", "child-2", "store"),
            lookup("alice", "child-3", "overlay"),
            lookup("bob", "child-1", "index"),
            lookup("bob", "child-3", "none"),
            lookup("carol", "child-1", "cache"),
        ];
        insta::assert_snapshot!(table(&children, &people, &parents, &lookups), @r"
        NAME       ON       PARENT  looked up from child …
                                    1  2  3
        alice      child-1  sp-1    .  s  o
        bob        child-2  sp-2    i  .  X
        carol      child-3  server  c  .  .
        Found by the asker's parent: i in its index (it is the name's parent too),
        s in its store, c in its cache, o by asking others (overlay). X is wrong.
        ");
        let many: Vec<String> = (1..=32).map(|number| format!("child-{number}")).collect();
        let children: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = table(&children, &many, &many, &[]);
        assert!(text.lines().all(|line| line.chars().count() <= 86), "{text}");
        assert!(text.contains("8 more names") && text.contains("16 more columns"), "{text}");
    }

    #[test]
    fn an_act_is_a_sentence_with_figures_and_what_was_wrong() {
        // Goal: nothing wrong is hidden. Method: a snapshot of an act with four that moved and one that was lost.
        let rehomed: Vec<Rehomed> = (1..=5)
            .map(|number| Rehomed {
                child: format!("child-{number}"),
                parent: (number != 5).then(|| format!("sp-{number}")),
                ms: 4.0 * f64::from(number),
            })
            .collect();
        let lookups = [lookup("bob", "child-3", "none"), lookup("alice", "child-2", "store")];
        let told = Act {
            act: "superpeer_killed".into(),
            sentence: killed("sp-3", &rehomed),
            rehomed,
            lookups: 2,
            wrong: 1,
            sources: [("none".to_owned(), 1), ("store".to_owned(), 1)].into(),
            resolve_ms: Percentiles { p50: 0.5, p90: 0.5, p99: 0.5, max: 9.0 },
        };
        insta::assert_snapshot!(act(&told, None, &lookups), @r"

        * killed sp-3, parent of 5; 1 found no other parent
          child-1 to sp-1 (4 ms), child-2 to sp-2 (8 ms), child-3 to sp-3 (12 ms),
          child-4 to sp-4 (16 ms), child-5 to nobody
          1 of 2 look-ups were right: none 1, store 1
          median 0.5 ms, slowest 9.0 ms
          wrong: bob from child-3: not found
        ");
        let all: Vec<Rehomed> = told.rehomed.into_iter().take(4).collect();
        let said = [killed("sp-3", &all), killed("sp-3", &all[..1]), killed("sp-3", &[])];
        insta::assert_snapshot!(said.join("\n"), @r"
        killed sp-3, parent of 4; all re-homed in 16 ms
        killed sp-3, parent of 1; re-homed in 4 ms
        killed sp-3, which had no children
        ");
    }
}
