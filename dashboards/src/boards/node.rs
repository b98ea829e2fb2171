//! One daemon, for who runs it.

use callbook_host::metrics::names::{
    ATTACHMENTS, BUILD_INFO, CACHED_BUNDLES, CHILDREN, FAILOVERS, LINK_BYTES, LINKS, LOOKUPS, NAMES,
    NODE_ROLE, PARENTS_LEFT, PARENTS_LOST, PARENTS_SILENT, PRESENCE_ANSWERS, PROCESS_CPU, PROCESS_MAX_FDS,
    PROCESS_OPEN_FDS, PROCESS_RESIDENT_MEMORY, PROCESS_START_TIME, PROCESS_THREADS, REACHABILITY,
    REGISTRATIONS, STANDBYS, STORE_COMMIT_FAILURES, STORE_COMMIT_SECONDS, STORE_COMMITS,
};

use crate::model::{Dashboard, Draw, Panel};
use crate::promql::{increase, of, rate};

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    Dashboard {
        uid: "callbook-node",
        title: "Callbook / Node",
        description: "One daemon: what it is, whom it knows, what it costs. Choose it as instance.",
        from: "now-6h",
        instances: BUILD_INFO.series(),
        variables: Vec::new(),
        annotation: None,
        rows: vec![("What it is", role()), ("Work", work()), ("Cost", cost())],
    }
}

fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Lines, title, unit, description)
}

fn role() -> Vec<Panel> {
    let stat = |title, unit, description| Panel::new(Draw::Stat, title, unit, description);
    vec![
        Panel::new(Draw::Word, "Role", "none", "What it acts as now.")
            .ask("{{instance}} {{role}}", format!("{} == 1", of(&NODE_ROLE, ""))),
        stat("Up for", "s", "Since its process started.")
            .ask("{{instance}}", format!("time() - {}", of(&PROCESS_START_TIME, ""))),
        Panel::new(
            Draw::Word,
            "Reachability",
            "none",
            "public: it listens; private: it doesn't. Nothing is tried out yet.",
        )
        .ask("{{instance}} {{state}}", format!("{} == 1", of(&REACHABILITY, ""))),
        stat("Links", "short", "Overlay streams that are open.").ask("{{instance}}", of(&LINKS, "")),
        stat("Names", "short", "Names held here; `callbook status` lists them with their expiry.")
            .ask("{{instance}}", of(&NAMES, "")),
        stat("Standbys", "short", "Superpeers that keep a place for it.")
            .ask("{{instance}}", of(&STANDBYS, "")),
    ]
}

fn work() -> Vec<Panel> {
    vec![
        lines("Look-ups", "ops", "By result.")
            .ask("{{result}}", format!("sum by (result) ({})", rate(&LOOKUPS, "op=\"resolve\""))),
        lines("Presence", "ops", "Answers to local questions for presence.")
            .ask("{{presence}}", format!("sum by (presence) ({})", rate(&PRESENCE_ANSWERS, ""))),
        lines("Parents", "short", "Within an hour: accepted by one, lost one, found one silent, left one that was of no use, taken over by a standby.")
            .ask("accepted", format!("sum({})", increase(&ATTACHMENTS, "", "1h")))
            .ask("lost", format!("sum({})", increase(&PARENTS_LOST, "", "1h")))
            .ask("silent", format!("sum({})", increase(&PARENTS_SILENT, "", "1h")))
            .ask("left", format!("sum({})", increase(&PARENTS_LEFT, "", "1h")))
            .ask("by a standby", format!("sum({})", increase(&FAILOVERS, "", "1h"))),
        lines("Registrations", "short", "Publications of its names within an hour.").ask(
            "{{op}} {{result}}",
            format!("sum by (op, result) ({})", increase(&REGISTRATIONS, "", "1h")),
        ),
        lines("Children and cache", "short", "Children attached, and bundles in the cache.")
            .ask("children", format!("sum({})", of(&CHILDREN, "")))
            .ask("bundles", format!("sum({})", of(&CACHED_BUNDLES, ""))),
    ]
}

fn cost() -> Vec<Panel> {
    vec![
        lines("Processor", "percentunit", "Of one core.").ask("{{instance}}", rate(&PROCESS_CPU, "")),
        lines("Memory", "bytes", "Resident.").ask("{{instance}}", of(&PROCESS_RESIDENT_MEMORY, "")),
        lines("Files and threads", "short", "Open file descriptors, how many there may be, and threads.")
            .ask("open", format!("max({})", of(&PROCESS_OPEN_FDS, "")))
            .ask("at most", format!("min({})", of(&PROCESS_MAX_FDS, "")))
            .ask("threads", format!("max({})", of(&PROCESS_THREADS, ""))),
        lines("Bandwidth", "Bps", "Bytes on links, before encryption.")
            .ask("{{direction}}", format!("sum by (direction) ({})", rate(&LINK_BYTES, ""))),
        lines("Disk", "short", "Commits a second, the share of time spent in them, and those that failed.")
            .ask("commits", format!("sum({})", rate(&STORE_COMMITS, "")))
            .ask("time", format!("max({})", rate(&STORE_COMMIT_SECONDS, "")))
            .ask("failed", format!("sum({})", rate(&STORE_COMMIT_FAILURES, ""))),
    ]
}
