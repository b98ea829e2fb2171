//! The one task that owns swarm and overlay.
//!
//! ```text
//!                 local requests ─┐                        ┌─► links (bounded queues)
//!       links ── frames ──────────┼─► driver: a turn of ───┼─► swarm: dial, close, login
//!       timer ── next deadline ───┤   the overlay for each ├─► store's thread
//!       swarm ── its events ──────┘                        └─► replies, notices
//! ```
//! What waits is taken in this order: local requests, finished commits, frames, the timer, the swarm.
//! After a wake up to [`BATCH`] of a kind are taken in one go, so that a frame costs no wake of its own,
//! and what they cause is written in one go;
//! under constant load others still get their turn: the timer after each batch, the swarm after
//! [`BATCHES_PER_SWARM_POLL`], other tasks after each full one.
//!
//! Each turn's effects are performed in their order. A durable change that is not yet on disk parks
//! the rest of its list; other turns go on meanwhile.
//!
//! *Not here*: any decision of the protocol.

mod dials;
mod effects;
mod logins;
mod network;

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::vec;

use callbook_net::limits::Rate;
use callbook_net::{FromLink, LinkCounts, Links};
use callbook_overlay::api::{Command, CommandId, Effect, Effects, Input, LinkId, Notice, Reply};
use callbook_overlay::time::Instant;
use callbook_overlay::{Overlay, Username};
use libp2p::Swarm;
use libp2p::swarm::{ConnectionId, Stream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use crate::behaviour::Behaviour;
use crate::clock::Clock;
use crate::doorbell::Doorbell;
use crate::handle::{Facts, Local, Watcher};
use crate::limits::{
    BATCH, BATCHES_PER_SWARM_POLL, CLOSE_TIMEOUT, HOUSEKEEPING, LEAVE_TIMEOUT, SWARM_EVENTS,
};
use crate::metrics::{HostMetrics, Scrape};
use crate::sessions::Sessions;
use crate::settings::Transports;
use crate::store::{Store, Token};

use self::dials::Dials;
use self::logins::Logins;
use self::network::{Connection, Link};

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) overlay: Overlay,
    pub(crate) clock: Clock,
    pub(crate) transports: Transports,
    pub(crate) rate: Option<Rate>,
    pub(crate) store: Store,
    pub(crate) committed: mpsc::UnboundedReceiver<Token>,
    pub(crate) local: mpsc::Receiver<Local>,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) serving: Option<mpsc::Sender<crate::login::LoginCall>>,
    pub(crate) metrics: HostMetrics,
    pub(crate) sessions: Sessions,
    pub(crate) links: Arc<LinkCounts>,
    pub(crate) facts: Arc<Facts>,
}

/// See the module's text.
pub(crate) struct Driver {
    parts: Parts,
    doorbell: Doorbell,
    /// What effects have caused, to be taken in after them.
    inputs: VecDeque<Input>,
    /// Rests of lists that wait for a commit.
    parked: HashMap<Token, vec::IntoIter<Effect>>,

    streams: Links<Stream>,
    full_batches: u32,
    local_closed: bool,

    replies: HashMap<CommandId, oneshot::Sender<Reply>>,
    watches: HashMap<CommandId, Watcher>,
    next_command: u64,
    next_link: u64,
    links: HashMap<LinkId, Link>,
    /// Links that were told to close and have not ended.
    closing: usize,
    connections: HashMap<ConnectionId, Connection>,
    dials: Dials,
    logins: Logins,

    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    housekeeping: Interval,
}

/// What woke the driver.
enum Wake {
    Local(Option<Local>),
    Committed(Token),
    Frame(FromLink),
    Timer,
    Dials,
    Swarm,
    LoginAnswer(logins::Answer),
    Housekeeping,
}

/// Whether to go on.
enum Flow {
    On,
    /// Somebody asked to stop (and may wait for it), or nobody is left to ask anything.
    Stop(Option<oneshot::Sender<()>>),
}

impl Driver {
    pub(crate) fn new(mut parts: Parts) -> Self {
        let streams = Links::new(parts.rate, Arc::clone(&parts.links));
        let mut housekeeping = interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let logins = Logins::new(parts.serving.take());
        Self {
            parts,
            doorbell: Doorbell::new(),
            inputs: VecDeque::new(),
            parked: HashMap::new(),
            streams,
            full_batches: 0,
            local_closed: false,
            replies: HashMap::new(),
            watches: HashMap::new(),
            next_command: 0,
            next_link: 0,
            links: HashMap::new(),
            closing: 0,
            connections: HashMap::new(),
            dials: Dials::default(),
            logins,
            timer: Box::pin(sleep(HOUSEKEEPING)),
            armed: None,
            housekeeping,
        }
    }

    /// Runs until somebody stops it.
    pub(crate) async fn run(mut self, first: Effects) {
        self.perform(first.0.into_iter());
        self.take_in_what_followed();
        let mut waiting = loop {
            if let Flow::Stop(waiting) = self.step().await {
                break Vec::from_iter(waiting);
            }
        };
        self.leave(&mut waiting).await;
        let Self { parts, streams, .. } = self;
        // Those that have not closed in time are reset.
        drop(streams);
        let Parts { store, swarm, .. } = parts;
        drop(swarm);
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("closing the store panicked");
        }
        for done in waiting {
            // Who asked may have stopped waiting.
            done.send(()).ok();
        }
    }

    /// Waits for something and handles it.
    async fn step(&mut self) -> Flow {
        self.arm();
        let untidy = self.is_untidy();
        let wake = tokio::select! {
            biased;
            local = self.parts.local.recv(), if !self.local_closed => Wake::Local(local),
            Some(token) = self.parts.committed.recv() => Wake::Committed(token),
            told = self.streams.next() => Wake::Frame(told),
            () = self.timer.as_mut(), if self.armed.is_some() => Wake::Timer,
            () = self.dials.wait(), if self.dials.are_timed() => Wake::Dials,
            () = self.doorbell.rung() => Wake::Swarm,
            Some(answer) = self.logins.next_answer(), if self.logins.has_calls() => Wake::LoginAnswer(answer),
            _ = self.housekeeping.tick(), if untidy => Wake::Housekeeping,
        };
        match wake {
            Wake::Local(first) => return self.take_local(first).await,
            Wake::Committed(token) => self.resume(token),
            Wake::Frame(first) => self.take_frames(first).await,
            Wake::Timer => {
                self.armed = None;
                self.tick_if_due();
            }
            Wake::Dials => self.dials_due(),
            Wake::Swarm => self.take_swarm_events(),
            Wake::LoginAnswer(answer) => self.answer_login(answer),
            Wake::Housekeeping => self.tidy(),
        }
        Flow::On
    }

    async fn take_local(&mut self, first: Option<Local>) -> Flow {
        let mut next = first;
        if next.is_none() {
            self.local_closed = true;
            return Flow::Stop(None);
        }
        let mut taken = 0;
        while let Some(local) = next {
            match local {
                Local::Command(command, reply) => self.command(command, reply),
                Local::Watch(username, watcher) => self.watch(username, watcher),
                Local::Unwatch => self.end_idle_watches(),
                Local::Login(request) => self.ask_login(request),
                Local::Scrape(reply) => {
                    let now = self.parts.clock.now().instant;
                    let (counters, figures) =
                        (self.parts.overlay.counters(), self.parts.sessions.figures(now));
                    // A scrape that was given up needs none.
                    reply.send(Scrape { counters, figures }).ok();
                }
                Local::Stop(done) => return Flow::Stop(Some(done)),
            }
            taken += 1;
            if taken == BATCH {
                tokio::task::yield_now().await;
                break;
            }
            next = self.parts.local.try_recv().ok();
        }
        Flow::On
    }

    async fn take_frames(&mut self, first: FromLink) {
        let (mut next, mut taken) = (Some(first), 0);
        while let Some(told) = next {
            match told {
                FromLink::Frame(link, frame) => {
                    if self.is_open(link) {
                        self.turn(Input::Received { link, frame });
                    }
                }
                FromLink::Ended(link, end) => self.link_ended(link, &end),
            }
            taken += 1;
            next = if taken < BATCH { self.streams.take() } else { None };
        }
        self.tick_if_due();
        if taken < BATCH {
            self.full_batches = 0;
            return;
        }
        self.full_batches += 1;
        if self.full_batches >= BATCHES_PER_SWARM_POLL {
            self.full_batches = 0;
            self.take_swarm_events();
        }
        self.streams.flush();
        tokio::task::yield_now().await;
    }

    fn take_swarm_events(&mut self) {
        for _ in 0..SWARM_EVENTS {
            let Some(event) = self.doorbell.answer(&mut self.parts.swarm) else { break };
            self.swarm_event(event);
        }
    }

    fn command(&mut self, command: Command, reply: oneshot::Sender<Reply>) {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.replies.insert(id, reply);
        self.turn(Input::Command(id, command));
    }

    fn watch(&mut self, username: Username, watcher: Watcher) {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.watches.insert(id, watcher);
        self.turn(Input::Command(id, Command::Watch(username)));
    }

    fn end_idle_watches(&mut self) {
        let idle = self.watches.iter().filter(|(_, watcher)| watcher.is_closed());
        for id in idle.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.unwatch(id);
        }
        self.take_in_what_followed();
    }

    /// One turn of the overlay, and those that its effects cause.
    fn turn(&mut self, input: Input) {
        let effects = self.parts.overlay.handle(self.parts.clock.now(), input);
        self.perform(effects.0.into_iter());
        self.take_in_what_followed();
    }

    fn take_in_what_followed(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            let effects = self.parts.overlay.handle(self.parts.clock.now(), input);
            self.perform(effects.0.into_iter());
        }
    }

    fn resume(&mut self, token: Token) {
        if let Some(rest) = self.parked.remove(&token) {
            self.perform(rest);
            self.take_in_what_followed();
        }
    }

    fn tick_if_due(&mut self) {
        let due = self.parts.overlay.next_deadline();
        if due.is_some_and(|due| due <= self.parts.clock.now().instant) {
            self.turn(Input::Tick);
        }
    }

    /// Sets the timer, which is left alone while it goes off early enough.
    fn arm(&mut self) {
        let Some(due) = self.parts.overlay.next_deadline() else { return };
        if self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            self.timer.as_mut().reset(self.parts.clock.at(due));
        }
    }

    /// Says goodbye, and waits for what is queued to be on its way.
    async fn leave(&mut self, waiting: &mut Vec<oneshot::Sender<()>>) {
        let (sender, mut left) = oneshot::channel();
        self.command(Command::Leave, sender);
        let mut deadline = std::pin::pin!(sleep(LEAVE_TIMEOUT));
        loop {
            tokio::select! {
                biased;
                // An overlay that drops the question has left too.
                _ = &mut left => break,
                () = &mut deadline => {
                    tracing::debug!("the overlay did not say goodbye in time");
                    break;
                }
                flow = self.step() => waiting.extend(more(flow)),
            }
        }
        self.close_all_links();
        let mut deadline = std::pin::pin!(sleep(CLOSE_TIMEOUT));
        while !self.links.is_empty() {
            tokio::select! {
                biased;
                () = &mut deadline => break,
                flow = self.step() => waiting.extend(more(flow)),
            }
        }
    }
}

fn more(flow: Flow) -> Option<oneshot::Sender<()>> {
    match flow {
        Flow::On => None,
        Flow::Stop(done) => done,
    }
}
