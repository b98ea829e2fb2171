//! The overlay and directory protocol as a deterministic state machine.
