//! The shape of a dashboard's file: which keys Grafana's classic schema has, which it needs, and of what type they
//! are.
//!
//! Source: the types of `@grafana/schema` 13.2 (`dashboard_types.gen.ts`, schema version 42) and of the panels'
//! options, as far as we write them: what Grafana knows and we don't use is unknown here. *Not here*: whether
//! what stands there makes sense (`lint`).

use std::fs;

use callbook_dashboards::files::folder;
use serde_json::{Value, json};

/// What a value has to be.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    Flag,
    /// A whole number, from and to.
    Whole(u64, u64),
    List(&'static Shape),
    /// Keys with their shapes; those marked have to be there.
    Keys(&'static [(&'static str, bool, Shape)]),
}
use Shape::{Flag, Keys, List, Text, Whole, Word};

const NEEDED: bool = true;
const FREE: bool = false;

const SOURCE: Shape = Keys(&[("type", NEEDED, Word(&["prometheus"])), ("uid", NEEDED, Text)]);

const PLACE: Shape = Keys(&[
    ("x", NEEDED, Whole(0, 23)),
    ("y", NEEDED, Whole(0, 10_000)),
    ("w", NEEDED, Whole(1, 24)),
    ("h", NEEDED, Whole(1, 100)),
]);

const TARGET: Shape = Keys(&[
    ("datasource", NEEDED, SOURCE),
    ("refId", NEEDED, Text),
    ("expr", NEEDED, Text),
    ("legendFormat", NEEDED, Text),
    ("format", NEEDED, Word(&["time_series", "table", "heatmap"])),
    ("instant", NEEDED, Flag),
    ("range", NEEDED, Flag),
]);

const CUSTOM: Shape = Keys(&[
    ("fillOpacity", FREE, Whole(0, 100)),
    ("lineWidth", FREE, Whole(0, 10)),
    (
        "stacking",
        FREE,
        Keys(&[("mode", NEEDED, Word(&["none", "normal", "percent"])), ("group", FREE, Text)]),
    ),
]);

const FIELDS: Shape = Keys(&[
    (
        "defaults",
        NEEDED,
        Keys(&[
            ("unit", NEEDED, Text),
            ("color", FREE, Keys(&[("mode", NEEDED, Word(&["palette-classic"]))])),
            ("custom", FREE, CUSTOM),
        ]),
    ),
    ("overrides", NEEDED, List(&Keys(&[]))),
]);

const REDUCE: Shape =
    Keys(&[("calcs", NEEDED, List(&Word(&["lastNotNull"]))), ("fields", FREE, Text), ("values", FREE, Flag)]);

const LEGEND: Shape = Keys(&[
    ("displayMode", NEEDED, Word(&["list", "table", "hidden"])),
    ("placement", NEEDED, Word(&["bottom", "right"])),
    ("showLegend", NEEDED, Flag),
]);

const TOOLTIP: Shape = Keys(&[
    ("mode", NEEDED, Word(&["single", "multi", "none"])),
    ("sort", FREE, Word(&["none", "asc", "desc"])),
]);

/// Options by type of panel.
const OPTIONS: [(&str, Shape); 6] = [
    (
        "stat",
        Keys(&[
            ("reduceOptions", NEEDED, REDUCE),
            ("graphMode", FREE, Word(&["none", "line", "area"])),
            ("textMode", FREE, Word(&["auto", "name", "none", "value", "value_and_name"])),
        ]),
    ),
    ("timeseries", Keys(&[("legend", NEEDED, LEGEND), ("tooltip", NEEDED, TOOLTIP)])),
    (
        "bargauge",
        Keys(&[
            ("reduceOptions", NEEDED, REDUCE),
            ("displayMode", NEEDED, Word(&["basic", "lcd", "gradient"])),
            ("orientation", NEEDED, Word(&["auto", "vertical", "horizontal"])),
        ]),
    ),
    ("heatmap", Keys(&[("calculate", FREE, Flag), ("yAxis", NEEDED, Keys(&[("unit", FREE, Text)]))])),
    ("table", Keys(&[("showHeader", NEEDED, Flag)])),
    (
        "alertlist",
        Keys(&[
            ("viewMode", NEEDED, Word(&["list", "stat"])),
            ("stateFilter", NEEDED, Keys(&[("firing", NEEDED, Flag)])),
        ]),
    ),
];

const ROW: Shape = Keys(&[
    ("id", NEEDED, Whole(1, 10_000)),
    ("type", NEEDED, Word(&["row"])),
    ("title", NEEDED, Text),
    ("collapsed", NEEDED, Flag),
    ("panels", NEEDED, List(&Keys(&[]))),
    ("gridPos", NEEDED, PLACE),
]);

/// Without its options, which depend on its type.
const PANEL: Shape = Keys(&[
    ("id", NEEDED, Whole(1, 10_000)),
    ("type", NEEDED, Text),
    ("title", NEEDED, Text),
    ("description", NEEDED, Text),
    ("datasource", NEEDED, SOURCE),
    ("gridPos", NEEDED, PLACE),
    ("fieldConfig", NEEDED, FIELDS),
    ("targets", NEEDED, List(&TARGET)),
    ("interval", FREE, Text),
]);

const VARIABLE: Shape = Keys(&[
    ("name", NEEDED, Text),
    ("label", FREE, Text),
    ("type", NEEDED, Word(&["datasource", "query", "custom"])),
    ("datasource", FREE, SOURCE),
    ("definition", FREE, Text),
    ("regex", FREE, Text),
    ("current", NEEDED, Keys(&[("text", FREE, List(&Text)), ("value", FREE, List(&Text))])),
    ("hide", FREE, Whole(0, 3)),
    ("includeAll", FREE, Flag),
    ("multi", FREE, Flag),
    ("allValue", FREE, Text),
    ("refresh", FREE, Whole(0, 2)),
    ("sort", FREE, Whole(0, 8)),
]);

/// What a query variable asks; the others have a text.
const ASKED: Shape = Keys(&[("query", NEEDED, Text), ("refId", NEEDED, Text)]);

const ANNOTATION: Shape = Keys(&[
    ("name", NEEDED, Text),
    ("enable", NEEDED, Flag),
    ("iconColor", NEEDED, Text),
    ("datasource", NEEDED, SOURCE),
    ("expr", NEEDED, Text),
    ("step", FREE, Text),
    ("titleFormat", FREE, Text),
]);

const LINK: Shape = Keys(&[
    ("type", NEEDED, Word(&["dashboards", "link"])),
    ("title", NEEDED, Text),
    ("tags", NEEDED, List(&Text)),
    ("asDropdown", NEEDED, Flag),
    ("includeVars", NEEDED, Flag),
    ("keepTime", NEEDED, Flag),
    ("targetBlank", NEEDED, Flag),
]);

/// Without its panels and variables, which are of several kinds.
const DASHBOARD: Shape = Keys(&[
    ("uid", NEEDED, Text),
    ("title", NEEDED, Text),
    ("description", NEEDED, Text),
    ("tags", NEEDED, List(&Text)),
    ("schemaVersion", NEEDED, Whole(42, 42)),
    ("version", NEEDED, Whole(1, 1_000)),
    ("editable", NEEDED, Flag),
    ("graphTooltip", NEEDED, Whole(0, 2)),
    ("timezone", NEEDED, Word(&["browser", "utc"])),
    ("refresh", NEEDED, Text),
    ("time", NEEDED, Keys(&[("from", NEEDED, Text), ("to", NEEDED, Text)])),
    ("annotations", NEEDED, Keys(&[("list", NEEDED, List(&ANNOTATION))])),
    ("links", NEEDED, List(&LINK)),
]);

/// What is wrong with a value, with where it stands.
fn faults(value: &Value, shape: Shape, at: &str) -> Vec<String> {
    let is = match shape {
        Text => value.is_string(),
        Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Flag => value.is_boolean(),
        Whole(least, most) => value.as_u64().is_some_and(|number| (least..=most).contains(&number)),
        List(each) => {
            let Some(list) = value.as_array() else { return vec![format!("{at}: {value} is no list")] };
            let numbered = list.iter().enumerate();
            return numbered.flat_map(|(index, one)| faults(one, *each, &format!("{at}[{index}]"))).collect();
        }
        Keys(keys) => return keys_faults(value, keys, at),
    };
    if is { Vec::new() } else { vec![format!("{at}: {value} is not {shape:?}")] }
}

fn keys_faults(value: &Value, keys: &[(&str, bool, Shape)], at: &str) -> Vec<String> {
    let Some(object) = value.as_object() else { return vec![format!("{at}: {value} has no keys")] };
    let unknown = object.keys().filter(|key| !keys.iter().any(|(known, ..)| known == key));
    let mut found: Vec<String> = unknown.map(|key| format!("{at}: {key} is unknown")).collect();
    for (key, needed, shape) in keys {
        match object.get(*key) {
            Some(value) => found.extend(faults(value, *shape, &format!("{at}.{key}"))),
            None if *needed => found.push(format!("{at}: {key} is missing")),
            None => {}
        }
    }
    found
}

fn panel_faults(panel: &Value, at: &str) -> Vec<String> {
    let mut panel = panel.clone();
    if panel["type"] == "row" {
        return faults(&panel, ROW, at);
    }
    let options = panel.as_object_mut().and_then(|keys| keys.remove("options")).unwrap_or_default();
    let of_type = OPTIONS.iter().find(|(kind, _)| panel["type"] == *kind);
    let Some((_, shape)) = of_type else { return vec![format!("{at}: {} is no panel", panel["type"])] };
    let mut found = faults(&panel, PANEL, at);
    found.extend(faults(&options, *shape, &format!("{at}.options")));
    found
}

fn variable_faults(variable: &Value, at: &str) -> Vec<String> {
    let mut variable = variable.clone();
    let query = variable.as_object_mut().and_then(|keys| keys.remove("query")).unwrap_or_default();
    let asked = if variable["type"] == "query" { ASKED } else { Text };
    let mut found = faults(&variable, VARIABLE, at);
    found.extend(faults(&query, asked, &format!("{at}.query")));
    found
}

fn dashboard_faults(dashboard: &Value) -> Vec<String> {
    let mut dashboard = dashboard.clone();
    let Some(keys) = dashboard.as_object_mut() else { return vec!["no object".to_owned()] };
    let panels = keys.remove("panels").unwrap_or_default();
    let templating = keys.remove("templating").unwrap_or_default();
    let mut found = faults(&dashboard, DASHBOARD, "");
    for (name, list, each) in [
        ("panels", &panels, panel_faults as fn(&Value, &str) -> Vec<String>),
        ("templating", &templating["list"], variable_faults),
    ] {
        match list.as_array() {
            Some(list) => found.extend(
                list.iter().enumerate().flat_map(|(index, one)| each(one, &format!("{name}[{index}]"))),
            ),
            None => found.push(format!("{name} is no list")),
        }
    }
    found
}

fn committed() -> Vec<(String, Value)> {
    let folder = folder().join("grafana/dashboards");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    files.map(read).collect()
}

#[test]
fn every_file_has_the_shape_that_grafana_reads() {
    // Goal: no key is misspelt and no value of the wrong type: Grafana passes over both in silence. Method: each
    // committed file against the schema.
    let files = committed();
    assert_eq!(files.len(), 8);
    for (name, dashboard) in files {
        assert_eq!(dashboard_faults(&dashboard), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_has_another_shape_is_found() {
    // Goal: the check above can fail. Method: a good file, spoilt at several depths.
    let (_, good) = committed().swap_remove(0);
    let spoilt = |pointer: &str, value: Value| {
        let mut dashboard = good.clone();
        *dashboard.pointer_mut(pointer).unwrap() = value;
        dashboard_faults(&dashboard)
    };
    for (pointer, value, found) in [
        ("/schemaVersion", json!("42"), ".schemaVersion"),
        ("/time", json!({ "from": "now-6h" }), ".time: to is missing"),
        ("/panels/1/gridPos/w", json!(-1), "panels[1].gridPos.w"),
        ("/panels/1/targets/0", json!({ "expression": "up" }), "panels[1].targets[0]: expression is unknown"),
        ("/panels/1/type", json!("graph"), "panels[1]: \"graph\" is no panel"),
        ("/panels/1/options", json!(null), "panels[1].options"),
        ("/templating/list/1/query", json!("up"), "templating[1].query"),
        ("/panels", json!({}), "panels is no list"),
    ] {
        let faults = spoilt(pointer, value);
        assert!(faults.iter().any(|fault| fault.starts_with(found)), "{pointer}: {faults:?}");
    }
}
