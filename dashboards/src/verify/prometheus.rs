//! A Prometheus of our own: its process, and questions to it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use callbook_e2e::{Room, until};
use serde_json::Value;

use crate::files::{LIMITS, folder};

/// How long an answer may take. A guess.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the programs are there.
///
/// # Errors
/// Which package is missing.
pub(super) fn installed() -> Result<(), String> {
    for program in ["prometheus", "promtool"] {
        let found =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            return Err(format!("{program} is not installed (Debian: apt-get install prometheus)"));
        }
    }
    Ok(())
}

/// Runs what follows as long as standard input is open.
const GUARD: &str = "\"$0\" \"$@\" & read -r _; kill $!; wait";

/// A running Prometheus; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Prometheus {
    process: Child,
    /// It ends when this closes, also if we are killed.
    input: Option<ChildStdin>,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.input = None;
        // It may have ended by itself, which its answers have shown by then.
        drop(self.process.wait());
    }
}

impl Prometheus {
    /// Starts it: it scrapes the login server, whom that lists, and a census.
    ///
    /// # Errors
    /// The machine: it can't be started, or says that something is wrong.
    pub(super) fn start(
        room: &Room,
        (login, census): (&str, &str),
        experiment: &Path,
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("Prometheus: {error}");
        let (config, store) = (room.path("prometheus.yml"), room.path("prometheus"));
        let [host, census] =
            [login, census].map(|url| url.trim_start_matches("http://").trim_end_matches("/metrics"));
        fs::write(&config, configuration(host, census)).map_err(failed)?;
        load(experiment, &store)?;
        let free = TcpListener::bind((room.address(), 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(failed)?.to_string();
        let log = File::create(room.path("prometheus.log")).map_err(failed)?;
        let mut process = Command::new("sh")
            .args(["-c", GUARD, "prometheus"])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", store.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let prometheus = Self { input: process.stdin.take(), process, address };
        until("Prometheus is ready", || prometheus.number("vector(1)").ok());
        Ok(prometheus)
    }

    /// The one number of an expression, now.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(super) fn number(&self, expr: &str) -> Result<f64, String> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expr)))?;
        let found = values(&answer);
        if let [one] = found[..] { Ok(one) } else { Err(format!("{} series for {expr}", found.len())) }
    }

    /// All values of an expression now.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn now(&self, expr: &str) -> Result<Vec<f64>, String> {
        Ok(values(&self.ask(&format!("/api/v1/query?query={}", encoded(expr)))?))
    }

    /// Each series of an expression now: the value of a label (none: an empty one), and the number.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn series(&self, expr: &str, label: &str) -> Result<Vec<(String, f64)>, String> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expr)))?;
        let of = |series: &Value| {
            let number = series["value"][1].as_str().and_then(|text| text.parse().ok())?;
            Some((series["metric"][label].as_str().unwrap_or_default().to_owned(), number))
        };
        Ok(answer.as_array().map(|all| all.iter().filter_map(of).collect()).unwrap_or_default())
    }

    /// Each series of an expression now, with its labels, as text.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn labelled(&self, expr: &str) -> Result<Vec<String>, String> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expr)))?;
        let series = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(series.iter().map(|series| format!("{} {}", series["metric"], series["value"][1])).collect())
    }

    /// All values of an expression over the last so many seconds.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn over(&self, expr: &str, seconds: u64) -> Result<Vec<f64>, String> {
        let end = self.number("time()")?;
        let (start, expr) = (end - seconds as f64, encoded(expr));
        Ok(values(&self.ask(&format!("/api/v1/query_range?query={expr}&start={start}&end={end}&step=15"))?))
    }

    fn ask(&self, path: &str) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("Prometheus does not answer: {error}");
        let mut stream = TcpStream::connect(&self.address).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        // The old version, which has no chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(failed)?;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let answer: Value =
            serde_json::from_str(body).map_err(|error| format!("no JSON ({error}): {body}"))?;
        if answer["status"] == "success" {
            Ok(answer["data"]["result"].clone())
        } else {
            Err(answer["error"].to_string())
        }
    }
}

/// What is scraped, faster than a product would, with the rules and limits that are shipped.
fn configuration(login: &str, census: &str) -> String {
    let rules = folder().join("prometheus");
    format!(
        "global:\n  scrape_interval: 2s\n  evaluation_interval: 2s\nrule_files:\n  - {0}/rules.yml\n  - {0}/alerts.yml\n\
         scrape_configs:\n  - job_name: callbook-login\n{LIMITS}    static_configs:\n      - targets: ['{login}']\n  \
         - job_name: callbook\n{LIMITS}    http_sd_configs:\n      - url: http://{login}/v1/prometheus/targets\n        \
         refresh_interval: 2s\n  - job_name: callbook-census\n{LIMITS}    static_configs:\n      - targets: ['{census}']\n",
        rules.display()
    )
}

/// Loads OpenMetrics text into a store that nobody has open.
fn load(file: &Path, store: &Path) -> Result<(), String> {
    let command = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([file, store])
        .output()
        .map_err(|error| format!("promtool: {error}"))?;
    if command.status.success() {
        return Ok(());
    }
    Err(format!("promtool: {}", String::from_utf8_lossy(&command.stderr)))
}

/// Of a vector each value, of a matrix all values of each series, of a scalar the one.
fn values(result: &Value) -> Vec<f64> {
    let number = |pair: &Value| pair[1].as_str().and_then(|text| text.parse().ok());
    let Some(list) = result.as_array() else { return Vec::new() };
    if list.len() == 2 && list[0].is_number() {
        return number(result).into_iter().collect();
    }
    let of_series = |series: &Value| -> Vec<f64> {
        let many = series["values"].as_array().map(|pairs| pairs.iter().filter_map(number).collect());
        many.unwrap_or_else(|| number(&series["value"]).into_iter().collect())
    };
    list.iter().flat_map(of_series).collect()
}

/// For a query string.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}
