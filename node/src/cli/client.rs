//! The commands' side of the local API: one request, one connection.

use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbook_login::files::FolderLock;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Method;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::cli::args::Condition;
use crate::cli::output::shell_word;
use crate::config::Config;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};
use crate::socket;
use crate::view::{Document, Waited};

/// Largest answer that is read, in bytes. A guess: far above any answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How often a client looks again for a daemon that comes or goes. A guess.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long one `wait` request stays open, so that a daemon that restarts is noticed. A guess.
const WAIT_SLICE: Duration = Duration::from_secs(5);

/// How long a request goes on after its time, for the answer to come back. A guess.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Talks to the daemon of one data folder.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    folder: PathBuf,
    named: bool,
}

/// One request. (Not `Debug`: it may carry a password.)
pub(crate) struct Request {
    method: Method,
    path: String,
    body: Zeroizing<Vec<u8>>,
}

impl Request {
    /// A request without a body.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: Zeroizing::default() }
    }

    /// A deletion.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, path: path.into(), body: Zeroizing::default() }
    }

    /// A request that changes something.
    pub(crate) fn post(path: impl Into<String>, body: &impl Serialize) -> Outcome<Self> {
        Ok(Self { method: Method::POST, path: path.into(), body: encode(body)? })
    }

    /// A request that sets something.
    pub(crate) fn put(path: impl Into<String>, body: &impl Serialize) -> Outcome<Self> {
        Ok(Self { method: Method::PUT, path: path.into(), body: encode(body)? })
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<hyper::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn encode(body: &impl Serialize) -> Outcome<Zeroizing<Vec<u8>>> {
    serde_json::to_vec(body)
        .map(Zeroizing::new)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

impl Client {
    /// The client for the configured data folder.
    pub(crate) fn new(config: &Config) -> Self {
        Self { folder: config.data.clone(), named: config.data_named }
    }

    /// The client for a folder (the demo's).
    pub(crate) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), named: true }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// No daemon, no permission, or what the daemon reports.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: Request) -> Outcome<Document<T>> {
        let (answer, _connection) = self.send(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.gone(&format!("the daemon's answer broke off: {error}")))?;
        read(status, &body.to_bytes())
    }

    /// Sends a request and takes each line of the answer as it comes, until there are no more.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) async fn lines<T: DeserializeOwned>(
        &self,
        request: Request,
        mut each: impl FnMut(T),
    ) -> Outcome<()> {
        let (answer, _connection) = self.send(request).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| self.gone(&format!("the daemon went away while it was heard: {error}")))?;
            rest.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
            if !status.is_success() {
                continue;
            }
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                each(read::<T>(status, &line)?.content);
            }
            if rest.len() > ANSWER_BYTES_MAX {
                return Err(Problem::new(Code::Internal, "the daemon's answer has a line without an end"));
            }
        }
        if status.is_success() { Ok(()) } else { read::<T>(status, &rest).map(drop) }
    }

    /// The answer's head, and the connection, which lasts while it is held.
    async fn send(&self, request: Request) -> Outcome<(hyper::Response<hyper::body::Incoming>, AbortOnDrop)> {
        let stream = self.connect().await?;
        let lost =
            |error: hyper::Error| self.gone(&format!("the daemon went away while it was asked: {error}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let connection = AbortOnDrop(tokio::spawn(connection));
        let Request { method, path, body } = request;
        let mut builder = hyper::Request::builder().method(method).uri(path).header("host", "callbook");
        if !body.is_empty() {
            builder = builder.header("content-type", "application/json");
        }
        let request = builder
            .body(Full::new(Bytes::from_owner(body)))
            .map_err(|error| Problem::new(Code::Usage, format!("that can't be asked for: {error}")))?;
        let answer = sender.send_request(request).await.map_err(lost)?;
        Ok((answer, connection))
    }

    /// The daemon is not there any more.
    pub(crate) fn gone(&self, what: &str) -> Problem {
        Problem::new(Code::NoDaemon, what).hint(self.how_to_start())
    }

    /// Waits for the daemon to come up and for a condition to hold, across restarts.
    ///
    /// # Errors
    /// The time is over: what is missing, or that no daemon answers.
    pub(crate) async fn until(&self, condition: Condition, timeout: Duration) -> Outcome<Duration> {
        let (started, mut last) = (Instant::now(), None);
        let word = condition.word();
        loop {
            let slice = timeout.saturating_sub(started.elapsed()).min(WAIT_SLICE);
            let request = Request::get(format!("/v1/wait?for={word}&timeout_ms={}", slice.as_millis()));
            match tokio::time::timeout(slice + LAST_WORD, self.call::<Waited>(request)).await {
                Ok(Ok(_)) => return Ok(started.elapsed()),
                Ok(Err(problem)) if matches!(problem.code, Code::NoDaemon | Code::Timeout) => {
                    last = Some(problem);
                }
                Ok(Err(problem)) => return Err(problem),
                Err(_) => {}
            }
            if started.elapsed() >= timeout {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(last.unwrap_or_else(|| {
            Problem::new(Code::Timeout, format!("not {word} after {}", humantime::format_duration(timeout)))
                .hint("callbook status shows what is missing")
        }))
    }

    /// Whether a daemon holds the folder's lock.
    pub(crate) fn is_locked(&self) -> bool {
        let lock = std::fs::File::open(self.folder.join(FolderLock::FILE));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    async fn connect(&self) -> Outcome<UnixStream> {
        let pointed =
            socket::pointed(&self.folder).map_err(|error| self.unreachable(&self.folder, &error))?;
        let Some(path) = pointed else {
            return Err(self.no_daemon("no daemon runs"));
        };
        UnixStream::connect(&path).await.map_err(|error| self.unreachable(&path, &error))
    }

    fn unreachable(&self, path: &Path, error: &io::Error) -> Problem {
        if error.kind() == io::ErrorKind::PermissionDenied {
            let message = format!("no permission to use {}", path.display());
            return Problem::new(Code::SocketPermission, message).hint(
                "run the command as the user that runs the daemon, or as a member of the socket's group \
                 (ls -l shows both)",
            );
        }
        self.no_daemon(&format!("no daemon answers on {} ({error})", path.display()))
    }

    fn no_daemon(&self, what: &str) -> Problem {
        Problem::new(Code::NoDaemon, format!("{what} for the data folder {}", self.folder.display()))
            .hint(self.how_to_start())
    }

    fn how_to_start(&self) -> String {
        let data = if self.named { format!(" --data {}", shell_word(&self.folder)) } else { String::new() };
        let network = if self.folder.join("network.toml").exists() { "" } else { " --network network.toml" };
        format!("start it: callbook{data} up{network}")
    }
}

fn read<T: DeserializeOwned>(status: hyper::StatusCode, body: &[u8]) -> Outcome<Document<T>> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| {
            Problem::new(Code::Internal, format!("the daemon's answer can't be read: {error}"))
                .hint("is the daemon of another version? stop it and start it again")
        });
    }
    Err(serde_json::from_slice(body).unwrap_or_else(|_| {
        Problem::new(Code::Failed, format!("the daemon answered {status}: {}", String::from_utf8_lossy(body)))
    }))
}

/// A path segment with everything escaped that isn't plainly part of a name.
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            escaped.push(char::from(byte));
        } else {
            // Writing to a text doesn't fail.
            write!(escaped, "%{byte:02X}").unwrap_or_default();
        }
    }
    escaped
}
