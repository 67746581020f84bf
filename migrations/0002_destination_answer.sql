-- What a destination answered last is kept with it: `status` speaks of the destination that is configured, in that
-- destination's own words.

ALTER TABLE destination ADD COLUMN paused_for  INTEGER;     -- seconds, from paused_at
ALTER TABLE destination ADD COLUMN http_status INTEGER;     -- of the last request that failed; null when none did since
ALTER TABLE destination ADD COLUMN reason      TEXT;        --   why it failed,
ALTER TABLE destination ADD COLUMN advice      TEXT;        --   and what somebody can do about it
