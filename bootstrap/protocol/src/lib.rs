//! What the login server and its clients both need: network file, messages, OPAQUE suite.
