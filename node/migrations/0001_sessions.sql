-- What a census has seen: superpeers, their sessions, and its walks. Times are seconds since 1970.

CREATE TABLE superpeers (
    id INTEGER PRIMARY KEY,
    -- The node key.
    peer BLOB NOT NULL UNIQUE,
    -- The newest hint: certificate and addresses.
    hint BLOB NOT NULL,
    agent TEXT NOT NULL,
    -- As it told last; NULL if it doesn't tell.
    children INTEGER,
    round_trip_micros INTEGER,
    -- Why the last visit did not reach it; NULL if it did.
    failure TEXT
) STRICT;

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    superpeer INTEGER NOT NULL REFERENCES superpeers (id) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    visited INTEGER NOT NULL,
    -- open, pending or closed.
    state TEXT NOT NULL,
    -- Of a closed one: graceful, timeout, replaced or unobserved.
    reason TEXT,
    closed INTEGER,
    -- 1 if its beginning was observed.
    begun INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    recovered INTEGER NOT NULL,
    flaps INTEGER NOT NULL,
    next_visit INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_of ON sessions (superpeer, first);
CREATE INDEX sessions_by_end ON sessions (last);

CREATE TABLE walks (
    id INTEGER PRIMARY KEY,
    began INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    -- 1 if all of the key space was told of and everybody visited.
    complete INTEGER NOT NULL,
    reached INTEGER NOT NULL,
    unreached INTEGER NOT NULL,
    -- Superpeers that told how many children they have, and how many that were.
    telling INTEGER NOT NULL,
    children INTEGER NOT NULL,
    -- Estimates of the number of superpeers, with standard deviations.
    density REAL NOT NULL,
    density_deviation REAL NOT NULL,
    recapture REAL NOT NULL,
    recapture_deviation REAL NOT NULL
) STRICT;

CREATE INDEX walks_by_end ON walks (ended);
