-- The spool. `event.seq` is never used twice (AUTOINCREMENT), so its highest value, kept in sqlite_sequence, is also the
-- number of events ever recorded: the ledger's left side, independent of everything that happens to the rows later.

CREATE TABLE event (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    state       INTEGER NOT NULL DEFAULT 0,     -- 0 pending, 1 sending, 2 sent, 3 held
    attempts    INTEGER NOT NULL DEFAULT 0,     -- requests that contained it before it was confirmed
    segment     INTEGER,                        -- segment.id, once assigned
    recorded_at INTEGER NOT NULL,               -- Unix time in ms
    sent_at     INTEGER,                        -- Unix time in ms of the confirmation
    last_error  TEXT,                           -- why it is held
    payload     TEXT NOT NULL                   -- the line that is uploaded, byte for byte
) STRICT;

CREATE INDEX event_by_state ON event (state);
CREATE INDEX event_by_segment ON event (segment) WHERE segment IS NOT NULL;

-- One remote JSONL file each, with this spool as its one writer.
CREATE TABLE segment (
    id           INTEGER PRIMARY KEY,
    destination  TEXT NOT NULL,
    name         TEXT NOT NULL,
    sealed       INTEGER NOT NULL DEFAULT 0,    -- 1: no further event goes into it
    stale        INTEGER NOT NULL DEFAULT 0,    -- 1: its rows left unconfirmed, and the remote file may still hold them
    last_error   TEXT,                          -- why its last request failed
    bytes        INTEGER,                       -- the receipt of the last confirmation: size,
    sha256       TEXT,                          --   content,
    url          TEXT,                          --   place,
    confirmed_at INTEGER,                       --   Unix time in ms
    UNIQUE (destination, name)
) STRICT;

-- What each destination told us, across processes.
CREATE TABLE destination (
    name          TEXT PRIMARY KEY,
    failures      INTEGER NOT NULL DEFAULT 0,   -- in a row
    retry_at      INTEGER,                      -- our own backoff, Unix time in ms
    wait_until    INTEGER,                      -- asked for by the server, Unix time in ms
    paused_at     INTEGER,                      -- refused us (401, 403, 404, 410), Unix time in ms
    configuration TEXT,                         -- fingerprint of address and credentials at that time
    noted_at      INTEGER,                      -- when the above was written, Unix time in ms
    last_write_at INTEGER                       -- end of the last write, Unix time in ms
) STRICT;

CREATE TABLE attempt (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,               -- Unix time in ms
    destination TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    http_status INTEGER,
    events      INTEGER NOT NULL,
    error       TEXT
) STRICT;

-- The ledger's right side, as far as it is not the count of rows: entries `sent` (ever confirmed), `forgotten` (sent
-- rows that are gone), `purged`, and `dropped:<reason>`.
CREATE TABLE ledger (
    entry TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far overflow.jsonl was imported. Its generation is the event_id of its first line; the file is emptied after the
-- import is committed, and a kill between the two must not import it again.
CREATE TABLE overflow (
    generation TEXT PRIMARY KEY,
    bytes      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
