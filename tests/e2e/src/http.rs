//! As much HTTP as reading metrics takes, and as asking a daemon without its command line.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, in small letters.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// Gets `path` from the server of `url` (`http://IP:PORT/…`).
///
/// # Panics
/// There is no such server, or it doesn't speak HTTP.
#[must_use]
pub fn http_get(url: &str, path: &str) -> Answer {
    http_get_with(url, path, &[])
}

/// As [`http_get`], with headers of one's own; a `Host` among them is said instead of the server's address.
///
/// # Panics
/// As [`http_get`].
#[must_use]
pub fn http_get_with(url: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("{url} is not http://IP:PORT/…"));
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{url}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    let own = if headers.iter().any(|(name, _)| *name == "Host") { None } else { Some(("Host", address)) };
    let lines = own.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\n{}Connection: close\r\n\r\n", lines.collect::<String>());
    stream.write_all(request.as_bytes()).expect("the server reads requests");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers in text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// Asks the daemon at a socket; its document, whatever its status.
///
/// # Errors
/// Nobody listens there, or not any more.
pub fn local_get(socket: &str, path: &str) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    let document = body.and_then(|body| serde_json::from_str(body).ok());
    document.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer))
}

/// The sum of a metric's series.
///
/// # Panics
/// There is none.
#[must_use]
pub fn metric(url: &str, name: &str) -> f64 {
    let page = http_get(url, "/metrics").body;
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    };
    let values = page.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.reduce(|sum, value| sum + value).unwrap_or_else(|| panic!("no metric {name}:\n{page}"))
}
