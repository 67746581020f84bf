-- The anonymous ids in what was sent to a destination that deletes by id. `forget` needs them also after the rows are
-- gone and the id was replaced.
CREATE TABLE sender (
    destination  TEXT NOT NULL,
    anonymous_id TEXT NOT NULL,
    PRIMARY KEY (destination, anonymous_id)
) STRICT, WITHOUT ROWID;
