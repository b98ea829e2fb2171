//! A dashboard as we think of it, and as Grafana reads it (its classic JSON, schema 42).

use serde_json::{Value, json};

/// The schema that is written. Source: the default of `@grafana/schema` 13.2.
const SCHEMA: u32 = 42;

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// One dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Its file and its address: `callbook-…`.
    pub uid: &'static str,
    /// As shown.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The range at first, such as `now-6h`.
    pub from: &'static str,
    /// Which metric tells what instances there are.
    pub instances: String,
    /// Variables beside datasource, job and instance.
    pub variables: Vec<Variable>,
    /// An expression whose changes are marked in all panels.
    pub annotation: Option<(&'static str, String)>,
    /// Titled groups of panels.
    pub rows: Vec<(&'static str, Vec<Panel>)>,
}

/// A variable that the reader chooses.
#[derive(Debug, Clone)]
pub enum Variable {
    /// Values of a label: name, metric, label.
    Label(&'static str, String, &'static str),
    /// One of the instances for which an expression has a value, never all of them: name, expression.
    One(&'static str, String),
}

/// How a panel draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// One number of now.
    Stat,
    /// The same of something whose number says nothing: its legend.
    Word,
    /// Lines over time.
    Lines,
    /// Areas over time that add up.
    Stack,
    /// Bars of now, one for each series.
    Bars,
    /// Buckets over time.
    Heatmap,
    /// Rows of now.
    Table,
    /// Alerts that fire; it asks nothing.
    Alerts,
}

/// One panel.
#[derive(Debug, Clone)]
pub struct Panel {
    /// As shown.
    pub title: &'static str,
    /// What exactly it shows.
    pub description: &'static str,
    /// How it draws.
    pub draw: Draw,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// Columns and rows that it takes.
    pub size: (u32, u32),
    /// What it asks.
    pub queries: Vec<Query>,
}

/// One query of a panel.
#[derive(Debug, Clone)]
pub struct Query {
    /// PromQL, with Grafana's variables.
    pub expr: String,
    /// How its series are called.
    pub legend: &'static str,
}

/// A query.
#[must_use]
pub fn query(legend: &'static str, expr: impl Into<String>) -> Query {
    Query { expr: expr.into(), legend }
}

impl Panel {
    /// A panel of the usual size for how it draws.
    #[must_use]
    pub fn new(draw: Draw, title: &'static str, unit: &'static str, description: &'static str) -> Self {
        let size = if matches!(draw, Draw::Stat | Draw::Word) { (4, 4) } else { (8, 8) };
        Self { title, description, draw, unit, size, queries: Vec::new() }
    }

    /// Asks one thing more.
    #[must_use]
    pub fn ask(mut self, legend: &'static str, expr: impl Into<String>) -> Self {
        self.queries.push(query(legend, expr));
        self
    }

    /// Takes so many columns and rows.
    #[must_use]
    pub fn sized(self, columns: u32, rows: u32) -> Self {
        Self { size: (columns, rows), ..self }
    }

    /// Whether only the present counts.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        matches!(self.draw, Draw::Stat | Draw::Word | Draw::Bars | Draw::Table)
    }

    fn to_json(&self, id: u32, (x, y): (u32, u32)) -> Value {
        let (kind, options, custom) = self.looks();
        let mut panel = json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.description,
            "datasource": source(),
            "gridPos": { "x": x, "y": y, "w": self.size.0, "h": self.size.1 },
            "fieldConfig": {
                "defaults": { "unit": self.unit, "color": { "mode": "palette-classic" }, "custom": custom },
                "overrides": [],
            },
            "options": options,
            "targets": self.targets(),
        });
        if self.draw == Draw::Heatmap {
            // Columns side by side, each of a few scrapes: `$__interval` is as wide as one.
            panel["interval"] = "1m".into();
        }
        panel
    }

    fn targets(&self) -> Vec<Value> {
        let format = match self.draw {
            Draw::Heatmap => "heatmap",
            Draw::Table => "table",
            Draw::Stat | Draw::Word | Draw::Lines | Draw::Stack | Draw::Bars | Draw::Alerts => "time_series",
        };
        let named = self.queries.iter().zip('A'..='Z');
        let target = |(query, name): (&Query, char)| {
            json!({
                "datasource": source(),
                "refId": name.to_string(),
                "expr": query.expr,
                "legendFormat": query.legend,
                "format": format,
                "instant": self.is_instant(),
                "range": !self.is_instant(),
            })
        };
        named.map(target).collect()
    }

    /// Grafana's panel type, its options, and what is drawn specially.
    fn looks(&self) -> (&'static str, Value, Value) {
        let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        let legend = json!({ "displayMode": "list", "placement": "bottom", "showLegend": true });
        let tooltip = json!({ "mode": "multi", "sort": "desc" });
        let lines = json!({ "legend": legend, "tooltip": tooltip });
        match self.draw {
            Draw::Stat => ("stat", json!({ "reduceOptions": last, "graphMode": "area" }), json!({})),
            Draw::Word => {
                let options = json!({ "reduceOptions": last, "graphMode": "none", "textMode": "name" });
                ("stat", options, json!({}))
            }
            Draw::Lines => ("timeseries", lines, json!({ "fillOpacity": 8, "lineWidth": 1 })),
            Draw::Stack => {
                let stacking = json!({ "mode": "normal", "group": "A" });
                ("timeseries", lines, json!({ "fillOpacity": 40, "lineWidth": 1, "stacking": stacking }))
            }
            Draw::Bars => {
                let options =
                    json!({ "reduceOptions": last, "displayMode": "gradient", "orientation": "horizontal" });
                ("bargauge", options, json!({}))
            }
            Draw::Heatmap => {
                ("heatmap", json!({ "calculate": false, "yAxis": { "unit": self.unit } }), json!({}))
            }
            Draw::Table => ("table", json!({ "showHeader": true }), json!({})),
            Draw::Alerts => {
                ("alertlist", json!({ "viewMode": "list", "stateFilter": { "firing": true } }), json!({}))
            }
        }
    }
}

/// The Prometheus that the reader chose.
fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Dashboard {
    /// As Grafana reads it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["callbook"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "30s",
            "time": { "from": self.from, "to": "now" },
            "templating": { "list": self.templating() },
            "annotations": { "list": self.annotations() },
            "links": [{
                "type": "dashboards", "title": "Callbook", "tags": ["callbook"], "asDropdown": true,
                "includeVars": true, "keepTime": true, "targetBlank": false,
            }],
            "panels": self.panels(),
        })
    }

    fn templating(&self) -> Vec<Value> {
        let job = self.instances.clone();
        let instance = format!("{}{{job=~\"$job\"}}", self.instances);
        let mut list = vec![
            json!({
                "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
                "current": {}, "hide": 0, "includeAll": false, "multi": false,
            }),
            by_label("job", &job, "job"),
            by_label("instance", &instance, "instance"),
        ];
        list.extend(self.variables.iter().map(|variable| match variable {
            Variable::Label(name, metric, label) => by_label(name, metric, label),
            Variable::One(name, expr) => {
                let mut variable = asked(name, &format!("query_result({expr})"));
                variable["regex"] = r#"/instance="([^"]+)"/"#.into();
                variable["multi"] = false.into();
                variable["includeAll"] = false.into();
                variable["current"] = json!({});
                if let Some(keys) = variable.as_object_mut() {
                    keys.remove("allValue");
                }
                variable
            }
        }));
        list
    }

    fn annotations(&self) -> Vec<Value> {
        let annotation = |(name, expr): &(&str, String)| {
            json!({
                "name": name, "enable": true, "iconColor": "orange", "datasource": source(),
                "expr": expr, "step": "60s", "titleFormat": name,
            })
        };
        self.annotation.iter().map(annotation).collect()
    }

    /// Rows one below the other, their panels side by side as far as there is room.
    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
        for (title, row) in &self.rows {
            id += 1;
            panels.push(json!({
                "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            }));
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in row {
                if x + panel.size.0 > COLUMNS {
                    (x, y, height) = (0, y + height, 0);
                }
                id += 1;
                panels.push(panel.to_json(id, (x, y)));
                x += panel.size.0;
                height = height.max(panel.size.1);
            }
            y += height;
        }
        panels
    }

    /// All panels.
    pub fn all_panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|(_, panels)| panels)
    }
}

fn by_label(name: &str, metric: &str, label: &str) -> Value {
    asked(name, &format!("label_values({metric}, {label})"))
}

/// A variable that Grafana's Prometheus asks for with one of its own functions.
fn asked(name: &str, question: &str) -> Value {
    json!({
        "name": name, "label": name, "type": "query", "datasource": source(),
        "query": { "query": question, "refId": "variable" }, "definition": question,
        "current": all_chosen(), "hide": 0, "includeAll": true, "multi": true, "allValue": ".+",
        "refresh": 2, "sort": 1,
    })
}

fn all_chosen() -> Value {
    json!({ "text": ["All"], "value": ["$__all"] })
}
