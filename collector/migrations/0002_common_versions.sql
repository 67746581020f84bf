-- Finds the most common versions without a look at every counter.
CREATE INDEX counters_of_events ON counters (day, event, version) WHERE dimension = 'event';
