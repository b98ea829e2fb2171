//! The Callbook peer: a background daemon and its command line.
