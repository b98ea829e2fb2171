//! A login server, and the peers of its network.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libp2p::Multiaddr;
use serde_json::Value;

use crate::stranger::tcp_address;
use crate::{Peer, Process, Program, Room, at_once, until};

/// r of the tests' networks: smaller than the number of superpeers, so that some look-ups cross the
/// overlay.
pub const R: u64 = 2;

/// r where storers fail: one of three may, and two leave nobody but the third.
pub const R_OF_THREE: u64 = 3;

/// A network with `limits = lab`.
#[derive(Debug)]
pub struct Network {
    /// The login server. (Dropped before the room, in which its log lies.)
    pub server: Option<Process>,
    /// Where everything lies.
    pub room: Arc<Room>,
    folder: PathBuf,
    ready: Value,
}

impl Network {
    /// A new network whose login server doesn't run yet.
    #[must_use]
    pub fn made() -> Self {
        Self::made_in(Room::new(), "server")
    }

    /// The same in a room that is there, its server's folder so named.
    #[must_use]
    pub fn made_in(room: Arc<Room>, folder: &str) -> Self {
        Self::made_with(room, folder, R)
    }

    fn made_with(room: Arc<Room>, folder: &str, r: u64) -> Self {
        let folder = room.path(folder);
        let data = folder.to_str().expect("temporary paths are text").to_owned();
        let (address, r) = (room.address().to_string(), format!("r={r}"));
        let arguments = ["--json", "init", "--data", &data, "--network", "demo", "--limits", "lab"];
        let arguments = arguments.into_iter().chain(["--listen", &address, "--set", &r]);
        room.run(Program::Bootstrap, arguments).ok();
        Self { server: None, room, folder, ready: Value::Null }
    }

    /// A new network with its login server running.
    #[must_use]
    pub fn start() -> Self {
        let mut network = Self::made();
        network.serve();
        network
    }

    /// The same where each record has so many storers.
    #[must_use]
    pub fn start_with(r: u64) -> Self {
        let mut network = Self::made_with(Room::new(), "server", r);
        network.serve();
        network
    }

    /// Starts the login server, and returns its ready block.
    pub fn serve(&mut self) -> Value {
        self.serve_with(&[])
    }

    /// The same with more in its environment.
    pub fn serve_with(&mut self, environment: &[(&str, &str)]) -> Value {
        let mut command = self.room.command(Program::Bootstrap);
        command.args(["serve", "--json", "--log", "info", "--leave-with-stdin", "--data"]).arg(&self.folder);
        command.envs(environment.iter().copied());
        let server = self.server.insert(Process::start(&self.room, "server", command));
        self.ready = server.event("ready");
        self.ready.clone()
    }

    /// Kills the login server as a power cut would.
    ///
    /// # Panics
    /// It doesn't run.
    pub fn kill_server(&mut self) {
        self.server.take().expect("the server runs").kill();
    }

    /// Where the login server listens for TCP, if it runs.
    #[must_use]
    pub fn server_address(&self) -> Option<Multiaddr> {
        self.server.is_some().then(|| tcp_address(&self.ready["listen"]))
    }

    /// Lets the login server leave.
    ///
    /// # Panics
    /// It doesn't end well.
    pub fn stop_serving(&mut self) {
        let mut server = self.server.take().expect("the server runs");
        server.close_input();
        assert_eq!(server.end(), Some(0), "the login server leaves when its input closes");
    }

    /// The login server's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The network file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("network.toml")
    }

    /// A daemon of this network with a new folder, not started. It will be given the network file, an
    /// address to listen on, and these flags.
    #[must_use]
    pub fn peer(&self, name: &str, flags: &[&str]) -> Peer {
        let (file, listen) = (self.file(), format!("{}:0", self.room.address()));
        let file = file.to_str().expect("temporary paths are text");
        let flags = [&["--network", file, "--listen", &listen], flags].concat();
        Peer::new(Arc::clone(&self.room), name, &flags)
    }

    /// A superpeer with a token of its own, not started.
    #[must_use]
    pub fn superpeer(&self, name: &str) -> Peer {
        let token = self.room.path(&format!("{name}.token"));
        let (token, data) = (token.to_str(), self.folder.to_str());
        let (token, data) = token.zip(data).expect("temporary paths are text");
        let arguments = ["--json", "token", "create", "--data", data, "--node", token];
        self.room.run(Program::Bootstrap, arguments).ok();
        self.peer(name, &["--role", "superpeer", "--node-token", token])
    }

    /// Starts superpeers and waits until they know each other and the login server.
    #[must_use]
    pub fn superpeers<const N: usize>(&self) -> [Peer; N] {
        let peers = self.many_superpeers(N);
        peers.try_into().expect("as many as were asked for")
    }

    /// The same for a number that is not known before.
    #[must_use]
    pub fn many_superpeers(&self, count: usize) -> Vec<Peer> {
        let names = (1..=count).map(|number| format!("superpeer-{number}"));
        let peers = at_once(names, |name| {
            let mut peer = self.superpeer(&name);
            peer.start();
            peer.wait("superpeer");
            peer
        });
        all_know(&peers, count + 1);
        peers
    }

    /// Starts children and waits until each has a parent.
    #[must_use]
    pub fn children<const N: usize>(&self) -> [Peer; N] {
        let peers = self.many_children(N);
        peers.try_into().expect("as many as were asked for")
    }

    /// The same for a number that is not known before.
    #[must_use]
    pub fn many_children(&self, count: usize) -> Vec<Peer> {
        at_once((1..=count).map(|number| format!("child-{number}")), |name| {
            let mut peer = self.peer(&name, &["--role", "child"]);
            peer.start();
            peer.wait("attached");
            peer
        })
    }
}

/// Waits until each of these peers knows so many superpeers.
pub fn all_know<'a>(peers: impl IntoIterator<Item = &'a Peer>, superpeers: usize) {
    for peer in peers {
        until(&format!("{} knows {superpeers} superpeers", peer.name()), || {
            (peer.status()["superpeers"] == superpeers).then_some(())
        });
    }
}
