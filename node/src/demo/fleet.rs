//! The demo's network: one login server, superpeers, children, each its own process on loopback.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::process::Processes;
use crate::cli::args::Condition;
use crate::cli::client::{Client, Request};
use crate::cli::output::note;
use crate::exit::Code;
use crate::problem::{Outcome, Problem, file_problem};
use crate::view::Status;

/// How long a part of the network may take to come up. A guess: seconds, also on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the superpeers are asked whether they know each other. A guess.
const LOOK: Duration = Duration::from_millis(50);

/// What the login server's process is called.
pub(super) const SERVER: &str = "server";

/// The demo's daemons.
#[derive(Debug)]
pub(super) struct Fleet {
    /// Beside the login server.
    pub(super) superpeers: Vec<Node>,
    /// Each attached when the demo begins.
    pub(super) children: Vec<Node>,
}

/// A running daemon of the demo.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// `sp-1`, `child-1`, …
    pub(super) name: String,
    /// Its data folder.
    pub(super) folder: PathBuf,
    /// Asks it.
    pub(super) client: Client,
    /// Its PeerId, once it is up.
    pub(super) peer: String,
}

impl Node {
    /// Its state.
    pub(super) async fn status(&self) -> Outcome<Status> {
        Ok(self.client.call::<Status>(Request::get("/v1/status")).await?.content)
    }
}

/// Starts everything; returns once the superpeers know each other and each child is attached.
pub(super) async fn start(
    processes: &mut Processes,
    folder: &Path,
    superpeers: u8,
    children: u8,
) -> Outcome<Fleet> {
    note("starting the login server …");
    start_server(processes, folder).await?;
    let network = folder.join(SERVER).join("network.toml");

    note(&format!("starting {superpeers} superpeers …"));
    let mut supers = Vec::new();
    let token = |number: u8| folder.join(format!("sp-{number}.token"));
    let mut arguments = bootstrap(&["token", "create"], folder);
    arguments.push("--node".into());
    arguments.extend((1..=superpeers).map(|number| token(number).into_os_string()));
    processes.run(SERVER, &arguments).await?;
    for number in 1..=superpeers {
        let mut extra = ["--role", "superpeer", "--node-token"].map(OsString::from).to_vec();
        extra.push(token(number).into_os_string());
        supers.push(start_node(processes, folder, &format!("sp-{number}"), &network, &extra)?);
    }
    try_join_all(supers.iter().map(|node| node.client.until(Condition::Superpeer, START_TIMEOUT))).await?;
    // The login server is one more.
    let all = usize::from(superpeers) + 1;
    try_join_all(supers.iter().map(|node| known(node, all))).await?;

    note(&format!("starting {children} children …"));
    let mut nodes = Vec::new();
    for number in 1..=children {
        let extra = ["--role".into(), "child".into()];
        nodes.push(start_node(processes, folder, &format!("child-{number}"), &network, &extra)?);
    }
    try_join_all(nodes.iter().map(|node| node.client.until(Condition::Attached, START_TIMEOUT))).await?;
    for node in supers.iter_mut().chain(&mut nodes) {
        node.peer = node.status().await?.peer;
    }
    Ok(Fleet { superpeers: supers, children: nodes })
}

async fn start_server(processes: &mut Processes, folder: &Path) -> Outcome<()> {
    let mut arguments = bootstrap(&["init"], folder);
    arguments.extend(["--network", "demo", "--limits", "lab", "--set", "r=3"].map(OsString::from));
    processes.run(SERVER, &arguments).await?;
    let mut arguments = bootstrap(&["serve"], folder);
    arguments.push("--leave-with-stdin".into());
    let printed = processes.start(SERVER, &arguments)?;
    match tokio::time::timeout(START_TIMEOUT, printed).await {
        Ok(Ok(_)) => Ok(()),
        // It ended without a word; whoever watches the processes says why.
        Ok(Err(_)) => std::future::pending().await,
        Err(_) => Err(Problem::new(Code::Timeout, "the login server doesn't come up")
            .hint("with --data DIR its log is kept: server.log")),
    }
}

fn bootstrap(command: &[&str], folder: &Path) -> Vec<OsString> {
    let mut arguments = vec![OsString::from("__bootstrap")];
    arguments.extend(command.iter().map(OsString::from));
    arguments.extend(["--data".into(), folder.join(SERVER).into_os_string()]);
    arguments
}

fn start_node(
    processes: &mut Processes,
    folder: &Path,
    name: &str,
    network: &Path,
    extra: &[OsString],
) -> Outcome<Node> {
    let data = folder.join(name);
    std::fs::create_dir_all(&data)
        .map_err(|error| file_problem(Code::FolderUnwritable, "can't make", &data, &error))?;
    let mut arguments: Vec<OsString> = vec!["--data".into(), data.clone().into_os_string(), "up".into()];
    arguments.extend(["--network".into(), network.as_os_str().to_owned()]);
    arguments.extend(["--listen", "127.0.0.1:0", "--leave-with-stdin"].map(OsString::from));
    arguments.extend_from_slice(extra);
    // The local API says when it is up.
    drop(processes.start(name, &arguments)?);
    let (name, client, peer) = (name.to_owned(), Client::of(&data), String::new());
    Ok(Node { name, client, folder: data, peer })
}

/// Until a superpeer knows as many superpeers as there are.
async fn known(node: &Node, all: usize) -> Outcome<()> {
    let started = Instant::now();
    loop {
        let status = node.status().await?;
        if status.superpeers >= all && status.attached {
            return Ok(());
        }
        if started.elapsed() > START_TIMEOUT {
            let message = format!("{} knows {} superpeers of {all}", node.name, status.superpeers);
            return Err(Problem::new(Code::Timeout, message).hint("with --data DIR its log is kept"));
        }
        tokio::time::sleep(LOOK).await;
    }
}
