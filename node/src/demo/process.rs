//! The demo's processes: started from our own executable, gone when we are.
//!
//! Each has a pipe as standard input and leaves when it closes, whatever ends us; a process group of
//! its own, so that Ctrl-C reaches us first; and a log file, whose last lines are shown if it ends by
//! itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::exit::Code;
use crate::problem::{Outcome, Problem, file_problem};

/// How many lines of a log are shown. A guess: what fits on a screen beside the rest.
const LOG_LINES: usize = 12;

/// How long processes get to leave before they are killed. A guess: leaving takes under a second.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// All processes of a demo.
#[derive(Debug)]
pub(super) struct Processes {
    folder: PathBuf,
    program: PathBuf,
    running: BTreeMap<String, Running>,
    watchers: JoinSet<()>,
    report: mpsc::UnboundedSender<(String, io::Result<ExitStatus>)>,
}

/// A process that stays until it is told to go.
#[derive(Debug)]
struct Running {
    input: Option<ChildStdin>,
    orders: oneshot::Sender<Order>,
}

/// How a process is to go; answered once it is gone.
#[derive(Debug)]
enum Order {
    Kill(oneshot::Sender<()>),
    Leave(oneshot::Sender<()>),
}

/// Tells of processes that end by themselves.
#[derive(Debug)]
pub(super) struct Ends {
    folder: PathBuf,
    ended: mpsc::UnboundedReceiver<(String, io::Result<ExitStatus>)>,
}

impl Ends {
    /// The first process to end by itself; pends while all run.
    pub(super) async fn next(&mut self) -> Problem {
        match self.ended.recv().await {
            Some((name, status)) => ended_problem(&self.folder, &name, &status),
            // The processes hold a sender.
            None => Problem::new(Code::Internal, "the demo lost sight of its processes"),
        }
    }

    /// A process that has ended by itself already, if any has.
    pub(super) fn already(&mut self) -> Option<Problem> {
        let (name, status) = self.ended.try_recv().ok()?;
        Some(ended_problem(&self.folder, &name, &status))
    }
}

impl Processes {
    /// None yet; logs go into `folder`.
    pub(super) fn new(folder: &Path) -> Outcome<(Self, Ends)> {
        let program = std::env::current_exe()
            .map_err(|error| Problem::new(Code::Failed, format!("can't find the own executable: {error}")))?;
        let (report, ended) = mpsc::unbounded_channel();
        let config = folder.join("config.toml");
        fs::write(&config, "")
            .map_err(|error| file_problem(Code::FolderUnwritable, "can't write", &config, &error))?;
        let ends = Ends { folder: folder.to_owned(), ended };
        let (folder, running, watchers) = (folder.to_owned(), BTreeMap::new(), JoinSet::new());
        Ok((Self { folder, program, running, watchers, report }, ends))
    }

    /// Starts a process that stays; what it prints first comes through the receiver.
    pub(super) fn start(&mut self, name: &str, arguments: &[OsString]) -> Outcome<oneshot::Receiver<String>> {
        let mut child = self.spawn(name, arguments, Stdio::piped())?;
        let (orders, mut ordered) = oneshot::channel();
        self.running.insert(name.to_owned(), Running { input: child.stdin.take(), orders });
        let (first, printed) = oneshot::channel();
        let log = self.log(name);
        if let Some(output) = child.stdout.take() {
            self.watchers.spawn(copy(output, log, first));
        }
        let (name, report) = (name.to_owned(), self.report.clone());
        self.watchers.spawn(async move {
            let ordered = tokio::select! {
                biased;
                Ok(order) = &mut ordered => order,
                status = child.wait() => {
                    // Nobody listens any more once the demo ends.
                    drop(report.send((name, status)));
                    return;
                }
            };
            let (gone, ending) = match ordered {
                Order::Kill(gone) => (gone, child.kill().await),
                Order::Leave(gone) => (gone, child.wait().await.map(drop)),
            };
            if let Err(error) = ending {
                tracing::warn!(%error, name, "a process can't be ended");
                return;
            }
            // The demo may have been given up meanwhile.
            gone.send(()).unwrap_or_default();
        });
        Ok(printed)
    }

    /// Runs a process to its end.
    ///
    /// # Errors
    /// It failed; the problem shows its last lines.
    pub(super) async fn run(&self, name: &str, arguments: &[OsString]) -> Outcome<()> {
        let log = self.open_log(name)?;
        let mut child = self.spawn(name, arguments, log.into())?;
        let status = child.wait().await;
        match &status {
            Ok(ended) if ended.success() => Ok(()),
            Ok(_) | Err(_) => Err(ended_problem(&self.folder, name, &status)),
        }
    }

    /// Kills a process (SIGKILL), and waits until it is gone.
    pub(super) async fn kill(&mut self, name: &str) -> Outcome<()> {
        self.order(name, Order::Kill).await
    }

    /// Lets a process leave, and waits until it is gone.
    pub(super) async fn stop(&mut self, name: &str) -> Outcome<()> {
        self.order(name, Order::Leave).await
    }

    async fn order(&mut self, name: &str, order: fn(oneshot::Sender<()>) -> Order) -> Outcome<()> {
        let lost = || Problem::new(Code::DemoProcess, format!("{name} doesn't run any more"));
        let Some(Running { input, orders }) = self.running.remove(name) else { return Err(lost()) };
        let (gone, awaited) = oneshot::channel();
        orders.send(order(gone)).map_err(|_| lost())?;
        // After the order, or its leaving would count as an end by itself.
        drop(input);
        match tokio::time::timeout(LEAVE_TIMEOUT, awaited).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(lost()),
            Err(_) => Err(Problem::new(Code::DemoProcess, format!("{name} doesn't leave"))),
        }
    }

    /// Lets all processes leave.
    pub(super) async fn leave(mut self) {
        self.running.clear();
        let all = async { while self.watchers.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE_TIMEOUT, all).await.is_err() {
            tracing::warn!("processes of the demo didn't leave in time and are killed");
        }
        self.watchers.shutdown().await;
    }

    fn spawn(&self, name: &str, arguments: &[OsString], output: Stdio) -> Outcome<Child> {
        let mut command = Command::new(&self.program);
        for (variable, _) in std::env::vars_os() {
            // Settings of ours are not those of the demo's processes.
            if variable.to_string_lossy().starts_with("CALLBOOK_") {
                command.env_remove(variable);
            }
        }
        command
            .env("CALLBOOK_CONFIG", self.folder.join("config.toml"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(self.open_log(name)?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Problem::new(Code::DemoProcess, format!("can't start {name}: {error}")))
    }

    fn log(&self, name: &str) -> PathBuf {
        log_of(&self.folder, name)
    }

    fn open_log(&self, name: &str) -> Outcome<File> {
        let path = self.log(name);
        let log = File::options().create(true).append(true).open(&path);
        log.map_err(|error| file_problem(Code::FolderUnwritable, "can't write", &path, &error))
    }
}

fn log_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn ended_problem(folder: &Path, name: &str, status: &io::Result<ExitStatus>) -> Problem {
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let log = fs::read(log_of(folder, name)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n  ");
    Problem::new(Code::DemoProcess, format!("{name} ended by itself ({how}); it said last:\n  {last}"))
        .hint("with --data DIR all logs are kept")
}

/// Copies what a process prints into its log, and passes the first line on.
async fn copy(output: ChildStdout, log: PathBuf, first: oneshot::Sender<String>) {
    let mut first = Some(first);
    let mut lines = BufReader::new(output).lines();
    let mut log = tokio::fs::OpenOptions::new().append(true).create(true).open(log).await.ok();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(log) = &mut log
            && let Err(error) = log.write_all(format!("{line}\n").as_bytes()).await
        {
            tracing::debug!(%error, "a log can't be written");
        }
        if let Some(first) = first.take() {
            drop(first.send(line));
        }
    }
}
