//! The overlay's streams as a libp2p behaviour.
