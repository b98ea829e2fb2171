//! What happens in the demo: three acts, after each of which everybody is looked up from everywhere
//! else.
//!
//! 1. the network has settled;
//! 2. the superpeer with most children is killed (SIGKILL), and its children find other parents;
//! 3. the login server is stopped.
//!
//! *Not here*: how the acts are told (`text`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};

use super::bulk::percentiles;
use super::fleet::{Fleet, Node, SERVER};
use super::process::Processes;
use super::{OVERLAY, judge, text};
use crate::cli::client::{Request, segment};
use crate::cli::output::{Printer, note};
use crate::problem::Outcome;
use crate::view::{Act, Demo, DemoLookup, Lookup, Rehomed};

/// With fewer superpeers the acts that take one away and then the server are not played: nobody might
/// be left.
pub(super) const SUPERPEERS_MIN: usize = 3;

/// How often a child that lost its parent is asked whether it has another. A guess: as exact as a
/// person cares for, and little work beside the re-homing itself.
const LOOK: Duration = Duration::from_millis(2);

/// How long children get to find another parent. A guess: they need well under a second.
const REHOME_TIMEOUT: Duration = Duration::from_secs(60);

/// The demo while it is played.
pub(super) struct Play<'a> {
    /// Everything that runs.
    pub(super) processes: &'a mut Processes,
    /// The daemons.
    pub(super) fleet: &'a Fleet,
    /// The names, in the order of the children that hold them.
    pub(super) people: &'a [String],
    /// What is told in the end.
    pub(super) demo: &'a mut Demo,
    /// Tells each act when it is over.
    pub(super) printer: Printer,
}

impl Play<'_> {
    /// The network has just come up.
    pub(super) async fn settled(&mut self) -> Outcome<()> {
        let Demo { superpeers, children, .. } = self.demo;
        let sentence =
            format!("{superpeers} superpeers, {children} children, 1 login server: everybody is registered",);
        note("looking everybody up from everywhere else …");
        self.look_everybody_up("settled", sentence, Vec::new()).await
    }

    /// Kills the superpeer with most children.
    pub(super) async fn superpeer_killed(&mut self) -> Outcome<()> {
        let parents = self.parents().await?;
        let of = |node: &Node| -> Vec<&Node> {
            let pairs = self.fleet.children.iter().zip(&parents);
            pairs
                .filter(|(_, parent)| parent.as_deref() == Some(&node.peer))
                .map(|(child, _)| child)
                .collect()
        };
        // Of several with as many children the first.
        let most = self.fleet.superpeers.iter().rev().max_by_key(|node| of(node).len());
        let Some(victim) = most else { return Ok(()) };
        let orphans = of(victim);
        note(&format!("killing {} (SIGKILL), parent of {} …", victim.name, orphans.len()));
        let killed = Instant::now();
        let rehoming = orphans.iter().map(|orphan| rehomed(orphan, &victim.peer, killed));
        let (gone, rehomed) = tokio::join!(self.processes.kill(&victim.name), join_all(rehoming));
        gone?;
        let rehomed: Outcome<Vec<_>> = rehomed.into_iter().collect();
        let name_of = |parent: String| self.name_of(&parent);
        let rehomed =
            rehomed?.into_iter().map(|orphan| Rehomed { parent: orphan.parent.map(name_of), ..orphan });
        let rehomed: Vec<Rehomed> = rehomed.collect();
        let sentence = text::killed(&victim.name, &rehomed);
        self.look_everybody_up("superpeer_killed", sentence, rehomed).await
    }

    /// Stops the login server.
    pub(super) async fn server_stopped(&mut self) -> Outcome<()> {
        note("stopping the login server …");
        self.processes.stop(SERVER).await?;
        let sentence = "stopped the login server: nobody can enrol, everything else goes on".to_owned();
        self.look_everybody_up("server_stopped", sentence, Vec::new()).await
    }

    /// Each child's parent, in their order.
    async fn parents(&self) -> Outcome<Vec<Option<String>>> {
        let parents = self
            .fleet
            .children
            .iter()
            .map(|child| async { Ok(child.status().await?.parent.map(|parent| parent.peer)) });
        try_join_all(parents).await
    }

    fn name_of(&self, peer: &str) -> String {
        let known = self.fleet.superpeers.iter().find(|node| node.peer == peer);
        known.map_or_else(|| SERVER.to_owned(), |node| node.name.clone())
    }

    /// Looks everybody up from every child but their own, one after the other, and tells the act.
    async fn look_everybody_up(&mut self, act: &str, sentence: String, rehomed: Vec<Rehomed>) -> Outcome<()> {
        let number = self.demo.acts.len() + 1;
        let mut lookups = Vec::new();
        for (home, name) in self.fleet.children.iter().zip(self.people) {
            for from in self.fleet.children.iter().filter(|from| from.name != home.name) {
                // After the first time caches would answer, whatever happened to the network.
                let request = Request::get(format!("/v1/names/{}?fresh={}", segment(name), number > 1));
                let answer = from.client.call::<Lookup>(request).await?.content;
                lookups.push(judge(number, home, from, answer));
            }
        }
        let told = told(act, sentence, rehomed, &lookups);
        if !self.printer.json {
            let parents = self.parents().await?;
            let parents: Vec<String> = parents
                .into_iter()
                .map(|parent| parent.map_or_else(|| "-".to_owned(), |parent| self.name_of(&parent)))
                .collect();
            let first = (number == 1).then(|| text::matrix(self.fleet, self.people, &parents, &lookups));
            self.printer.result(&told, |told| text::act(told, first, &lookups));
        }
        // Who stayed without a parent is wrong even if all its look-ups were right.
        self.demo.wrong += told.wrong + told.rehomed.iter().filter(|orphan| orphan.parent.is_none()).count();
        self.demo.crossed += told.sources.get(OVERLAY).copied().unwrap_or_default();
        self.demo.acts.push(told);
        self.demo.lookups.extend(lookups);
        Ok(())
    }
}

/// Waits until a child has another parent than the one that is gone.
async fn rehomed(child: &Node, gone: &str, since: Instant) -> Outcome<Rehomed> {
    loop {
        let parent = child.status().await?.parent.map(|parent| parent.peer).filter(|parent| parent != gone);
        let passed = since.elapsed();
        if parent.is_some() || passed > REHOME_TIMEOUT {
            let ms = (passed.as_secs_f64() * 1e4).round() / 10.0;
            return Ok(Rehomed { child: child.name.clone(), parent, ms });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// An act with its figures.
fn told(act: &str, sentence: String, rehomed: Vec<Rehomed>, lookups: &[DemoLookup]) -> Act {
    let mut sources = BTreeMap::new();
    for lookup in lookups {
        *sources.entry(lookup.source.clone().unwrap_or_else(|| "none".to_owned())).or_default() += 1;
    }
    let mut latencies: Vec<f64> = lookups.iter().map(|lookup| lookup.ms).collect();
    Act {
        act: act.to_owned(),
        sentence,
        rehomed,
        lookups: lookups.len(),
        wrong: lookups.iter().filter(|lookup| !lookup.right).count(),
        sources,
        resolve_ms: percentiles(&mut latencies),
    }
}
