//! What simulations came to, side by side.
//!
//! *Not here*: the simulator; it writes its figures with `callbook-sim … --openmetrics FILE`.

use crate::model::{Dashboard, Draw, Panel, Variable};

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    let series = FIGURE.to_owned();
    Dashboard {
        uid: "callbook-experiment",
        title: "Callbook / Experiments",
        description: "Figures of simulated networks, one row of the simulator's table beside the other. Load them with promtool tsdb create-blocks-from openmetrics.",
        from: "now-24h",
        instances: series.clone(),
        variables: vec![Variable::Label("row", series, "row")],
        annotation: None,
        rows: vec![("Look-ups", lookups()), ("Cost and churn", cost())],
    }
}

/// The one metric of simulations: a figure of a row. Shares are between 0 and 1.
pub const FIGURE: &str = "callbook_sim_figure";

/// The newest in the range shown of each figure that begins so.
fn figure(name: &str) -> String {
    let chosen = format!("{FIGURE}{{row=~\"$row\",figure=~\"{name}\"}}");
    format!("max by (row, figure) (last_over_time({chosen}[$__range]))")
}

fn bars(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Bars, title, unit, description)
}

fn lookups() -> Vec<Panel> {
    vec![
        bars("Right answers", "percentunit", "Look-ups of users that were answered rightly, by row.")
            .ask("{{row}}", figure("look-ups right")),
        bars("Names that exist", "percentunit", "How look-ups of names that exist ended.")
            .ask("{{row}} {{figure}}", figure("existing names .*")),
        bars("Look-up times", "ms", "Quantiles of a child's look-ups.")
            .ask("{{row}} {{figure}}", figure("look-up of a child .*")),
    ]
}

fn cost() -> Vec<Panel> {
    vec![
        bars("Sent by a peer", "Bps", "Mean over all peers, superpeers and children.")
            .ask("{{row}} {{figure}}", figure("sent by .*")),
        bars("Starts and stops", "cps", "Peers that came and went, per second.")
            .ask("{{row}} {{figure}}", figure("starts|stops")),
        bars("Where answers come from", "percentunit", "Of the look-ups that found something.")
            .ask("{{row}} {{figure}}", figure("answers from .*")),
    ]
}
