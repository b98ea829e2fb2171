-- Accounts, their devices, certified nodes, node tokens, epoch records.
-- Times are seconds since 1970-01-01 UTC. Rows are never deleted: names are not recycled, and a
-- serial number is given once.

CREATE TABLE accounts (
    id            INTEGER PRIMARY KEY,
    username      TEXT    NOT NULL UNIQUE,
    skeleton      TEXT    NOT NULL UNIQUE,               -- equal for names that look alike
    status        TEXT    NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'closed')),
    password_file BLOB    NOT NULL,                      -- OPAQUE's, 192 bytes
    stretch_version    INTEGER NOT NULL,
    stretch_memory_kib INTEGER NOT NULL,
    stretch_passes     INTEGER NOT NULL,
    stretch_lanes      INTEGER NOT NULL,
    first_device  BLOB    NOT NULL,                      -- with the next: to know a retried enrolment
    upload_digest BLOB    NOT NULL,
    epoch         INTEGER NOT NULL DEFAULT 1,
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE devices (
    serial     INTEGER PRIMARY KEY AUTOINCREMENT,        -- one per device, kept over renewals
    account    INTEGER NOT NULL REFERENCES accounts (id),
    key        BLOB    NOT NULL,
    issued     INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE UNIQUE INDEX devices_live ON devices (account, key) WHERE revoked_at IS NULL;

CREATE TABLE nodes (
    peer      BLOB    PRIMARY KEY,                       -- the node key
    account   INTEGER REFERENCES accounts (id),          -- NULL: by token, or the server itself
    nonce     BLOB    NOT NULL,                          -- drawn once, so the node's place is fixed
    issued    INTEGER NOT NULL,
    not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX nodes_account ON nodes (account);

CREATE TABLE tokens (
    hash    BLOB    PRIMARY KEY,                         -- blake3 of the token
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used_by BLOB                                         -- the node key
) STRICT, WITHOUT ROWID;

CREATE TABLE epochs (
    account      INTEGER PRIMARY KEY REFERENCES accounts (id),
    seq          INTEGER NOT NULL,                       -- of the newest record; kept before it is published
    record       BLOB    NOT NULL,
    signed       INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0 CHECK (acknowledged IN (0, 1))
) STRICT;
CREATE INDEX epochs_pending ON epochs (signed) WHERE acknowledged = 0;
