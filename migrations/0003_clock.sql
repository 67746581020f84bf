-- What is known of the clock, so that one wrong reading expires nothing (src/spool/retention.rs).
CREATE TABLE clock (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    believed INTEGER NOT NULL,               -- Unix time in ms: the last reading that is believed
    doubted  INTEGER                         -- Unix time in ms: the first reading after an unlikely leap
) STRICT;

-- An import looks for each event_id, so how far the file was read need not be remembered.
DROP TABLE overflow;
