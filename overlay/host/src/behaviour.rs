//! The host's behaviour: what the swarm speaks.

use callbook_net::Neighbours;
use callbook_overlay::key::NetworkId;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{identify, memory_connection_limits};

use crate::drowsy::Drowsy;
use crate::limits::{
    CONNECTIONS_PER_PEER_MAX, DIALS_MAX, HANDSHAKES_MAX, INBOUND_CONNECTIONS_MAX, MEMORY_SHARE_MAX,
};
use crate::login;

/// What the swarm speaks. The limits come first, so that they refuse before others begin.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub(crate) neighbours: Neighbours,
    /// Under one alarm: a connection asks it with every packet.
    rare: Drowsy<Rare>,
}

/// What happens rarely on a connection.
#[derive(NetworkBehaviour)]
pub(crate) struct Rare {
    identify: identify::Behaviour,
    login: login::Behaviour,
}

impl Behaviour {
    pub(crate) fn new(keypair: &Keypair, network: &NetworkId, agent: &str, serves_login: bool) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_pending_outgoing(Some(DIALS_MAX))
            .with_max_pending_incoming(Some(HANDSHAKES_MAX))
            .with_max_established_incoming(Some(INBOUND_CONNECTIONS_MAX))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
        // No cache: nobody is dialled at an address that it told about itself.
        let identify = identify::Config::new("/callbook/1".to_owned(), keypair.public())
            .with_agent_version(agent.to_owned())
            .with_cache_size(0);
        Self {
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
            neighbours: Neighbours::new(network),
            rare: Drowsy(Rare {
                identify: identify::Behaviour::new(identify),
                login: login::behaviour(network, serves_login),
            }),
        }
    }

    pub(crate) fn login(&mut self) -> &mut login::Behaviour {
        &mut self.rare.0.login
    }
}
