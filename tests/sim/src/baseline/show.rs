//! Baselines' rows as a table and as JSON. *Not here*: what the figures mean ([`Row`]).

use serde_json::{Value as Json, json};

use super::Row;
use crate::report::wilson;

/// Version of the JSON's form.
const SCHEMA_VERSION: u32 = 1;

/// Of p2psim's figures a model may be off by so much (issue 4).
const OFF_MAX: f64 = 0.2;

fn line(row: &Row) -> String {
    let [right, _, all] = row.existing;
    let percent = 100.0 * right as f64 / all.max(1) as f64;
    let (low, _) = wilson::interval(right, all);
    format!(
        "{:<22} {percent:>8.3} {:>8.3} {:>7.0} {:>7.0} {:>6.2} {:>9.1} {:>10.0} {:>9.1} {:>9.1} {:>10.2} {:>10.0}\n",
        row.name,
        100.0 * low,
        row.latency[0],
        row.latency[2],
        row.hops,
        row.messages,
        row.bytes,
        row.upkeep,
        row.sent,
        row.worst_messages,
        row.worst_bytes,
    )
}

/// All rows for reading, then how close they come to what p2psim found.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<22} {:>8} {:>8} {:>7} {:>7} {:>6} {:>9} {:>10} {:>9} {:>9} {:>10} {:>10}\n",
        "",
        "right %",
        "at least",
        "p50 ms",
        "p99 ms",
        "hops",
        "messages",
        "bytes",
        "upkeep",
        "sent",
        "worst",
        "worst"
    );
    text.push_str(&format!(
        "{:<22} {:>8} {:>8} {:>7} {:>7} {:>6} {:>9} {:>10} {:>9} {:>9} {:>10} {:>10}\n",
        "", "", "(Wilson)", "", "", "", "/look-up", "/look-up", "B/s each", "B/s each", "messages/s", "B/s"
    ));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    for row in rows {
        if let Some((p50, sent)) = row.published {
            let off = |found: f64, published: f64| 100.0 * (found / published - 1.0);
            let (late, dear) = (off(row.latency[0], p50), off(row.sent, sent));
            text.push_str(&format!(
                "{}: p50 {:.0} ms, p2psim {p50:.0} ({late:+.0} %); sent {:.1} B/s, p2psim {sent:.1} ({dear:+.0} %)\n",
                row.name, row.latency[0], row.sent
            ));
            if late.abs().max(dear.abs()) > 100.0 * OFF_MAX {
                text.push_str(&format!("  not within 20 %: {}\n", row.why));
            }
        }
    }
    text
}

/// All rows as one document.
#[must_use]
pub fn json(rows: &[Row], seed: u64, peers: u32) -> Json {
    let row = |row: &Row| {
        let [right, wrong, all] = row.existing;
        let published = row.published.map(|(p50, sent)| json!({ "p50_ms": p50, "sent_bytes_per_s": sent }));
        json!({
            "name": row.name,
            "existing": { "right": right, "wrong": wrong, "all": all },
            "absent": { "right": row.absent[0], "all": row.absent[1] },
            "p50_ms": row.latency[0], "p90_ms": row.latency[1], "p99_ms": row.latency[2],
            "hops": row.hops, "messages_per_look_up": row.messages, "bytes_per_look_up": row.bytes,
            "upkeep_bytes_per_peer_s": row.upkeep, "sent_bytes_per_peer_s": row.sent,
            "worst_messages_per_s": row.worst_messages, "worst_bytes_per_s": row.worst_bytes,
            "p2psim": published,
        })
    };
    let rows: Vec<Json> = rows.iter().map(row).collect();
    json!({ "schema_version": SCHEMA_VERSION, "seed": seed, "peers": peers, "baselines": rows })
}
