-- Raw events. A line that its owner had forgotten leaves its event_id behind until retention, so that a repeat of it is
-- still known and not counted again.
CREATE TABLE events (
  event_id TEXT NOT NULL PRIMARY KEY,
  anonymous_id TEXT,
  line TEXT
) STRICT, WITHOUT ROWID;

-- For forgetting alone.
CREATE INDEX events_of_an_id ON events (anonymous_id) WHERE anonymous_id IS NOT NULL;

-- How often each word came, by the field that it stood in. The dimension `event` counts the events themselves.
CREATE TABLE counters (
  day TEXT NOT NULL,
  event TEXT NOT NULL,
  version TEXT NOT NULL,
  dimension TEXT NOT NULL,
  word TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (day, event, version, dimension, word)
) STRICT, WITHOUT ROWID;

-- Who sent which events (one bit each) on which day, so that ids of a part can be told apart. Kept as long as raw events.
-- An id is 80 of its 122 random bits here: enough to count by, too little to delete by.
CREATE TABLE visits (
  day TEXT NOT NULL,
  version TEXT NOT NULL,
  id BLOB NOT NULL,
  events INTEGER NOT NULL,
  PRIMARY KEY (day, version, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX visits_of_an_id ON visits (id);

-- Every id that ever sent something, in the same 80 bits.
CREATE TABLE ids (
  id BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- How many events were accepted on the day that they came in, for the limit of a day.
CREATE TABLE received (
  day TEXT NOT NULL PRIMARY KEY,
  n INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row. `revision` changes with every number that can be read, and `nonce` tells this database from all others: both
-- make the ETags. `visits_from` is the first day whose visits are still there, once older ones were deleted.
CREATE TABLE totals (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  nonce TEXT NOT NULL,
  revision INTEGER NOT NULL,
  unique_ids INTEGER NOT NULL,
  visits_from TEXT
) STRICT;

INSERT INTO totals VALUES (1, lower(hex(randomblob(8))), 0, 0, NULL);
