-- Finds the most common versions without a look at every counter.
CREATE INDEX counters_of_events ON counters (day, event, version) WHERE dimension = 'event';

-- The first day whose words are still counted by day. Those of earlier days stand at the first day of their month.
ALTER TABLE totals ADD COLUMN words_from TEXT;
