//! Reads as much of PromQL as it takes to know which metrics and labels an expression names.
//!
//! Every selector here has braces, so what stands before an opening brace is a metric, and any other word
//! has to be a function, a keyword or a label in a grouping. *Not here*: whether it is valid as a whole
//! (`promtool`).

/// Functions and keywords that are used. All are known to Prometheus 2.42.
const WORDS: [&str; 32] = [
    "abs",
    "absent",
    "and",
    "avg",
    "avg_over_time",
    "bool",
    "by",
    "changes",
    "clamp_min",
    "count",
    "group_left",
    "histogram_quantile",
    "ignoring",
    "increase",
    "label_values",
    "last_over_time",
    "max",
    "max_over_time",
    "min",
    "on",
    "or",
    "quantile",
    "quantile_over_time",
    "query_result",
    "rate",
    "sort",
    "sort_desc",
    "sum",
    "time",
    "unless",
    "vector",
    "without",
];

/// One label of a selector: name, operator and value.
pub(crate) type Matcher = (String, String, String);

/// What an expression names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Metrics with their matchers.
    pub(crate) selectors: Vec<(String, Vec<Matcher>)>,
    /// Labels in groupings.
    pub(crate) grouped: Vec<String>,
    /// Windows in square brackets, of which function.
    pub(crate) windows: Vec<(String, String)>,
}

/// Reads an expression; panics at what is not understood.
pub(crate) fn scan(expr: &str) -> Named {
    let mut named = Named::default();
    let mut rest = expr.trim_start();
    let mut grouping = false;
    let mut functions: Vec<String> = Vec::new();
    let mut last = String::new();
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.trim_start();
            if let Some(body) = rest.strip_prefix('{') {
                let (labels, after) = matchers(body);
                named.selectors.push((word.to_owned(), labels));
                rest = after;
            } else if grouping {
                named.grouped.push(word.to_owned());
            } else if word.starts_with("callbook:") {
                named.selectors.push((word.to_owned(), Vec::new()));
            } else {
                assert!(WORDS.contains(&word), "{word} in {expr}");
                last = word.to_owned();
            }
            continue;
        }
        match first {
            '(' => {
                grouping = ["by", "on", "ignoring", "without", "group_left"].contains(&last.as_str());
                functions.push(std::mem::take(&mut last));
            }
            ')' => {
                grouping = false;
                functions.pop().unwrap();
            }
            '[' => {
                let end = rest.find(']').unwrap();
                let function =
                    functions.iter().rev().find(|name| !name.is_empty()).cloned().unwrap_or_default();
                named.windows.push((function, rest[1..end].to_owned()));
                rest = &rest[end..];
            }
            _ => assert!("0123456789.+-*/<>=!, ]\"".contains(first), "{first} in {expr}"),
        }
        rest = rest[first.len_utf8().min(rest.len())..].trim_start();
    }
    assert!(functions.is_empty(), "brackets in {expr}");
    named
}

/// The labels up to the closing brace, and what follows it.
fn matchers(mut body: &str) -> (Vec<Matcher>, &str) {
    let mut labels = Vec::new();
    loop {
        body = body.trim_start_matches([',', ' ']);
        if let Some(after) = body.strip_prefix('}') {
            return (labels, after.trim_start());
        }
        let operator = body.find(['=', '!']).unwrap();
        let quote = body.find('"').unwrap();
        let end = quote + 1 + body[quote + 1..].find('"').unwrap();
        let [name, sign, value] = [&body[..operator], &body[operator..quote], &body[quote + 1..end]];
        labels.push((name.to_owned(), sign.to_owned(), value.to_owned()));
        body = &body[end + 1..];
    }
}

#[test]
fn an_expression_is_taken_apart() {
    // Goal: the scanner sees what the checks rely on. Method: an expression with everything in it.
    let named = scan(r#"sum by (le) (rate(a_total{x="1",y=~"b|c"}[5m])) / on (z) group_left () (b{} > 0.5)"#);
    assert_eq!(named.grouped, ["le", "z"]);
    let names: Vec<&str> = named.selectors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a_total", "b"]);
    assert_eq!(named.selectors[0].1[1], ("y".into(), "=~".into(), "b|c".into()));
    assert_eq!(named.windows, [("rate".to_owned(), "5m".to_owned())]);
    assert!(std::panic::catch_unwind(|| scan("info(a{})")).is_err(), "a function that 2.42 lacks");
}
