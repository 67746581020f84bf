// Events in D1: one batch, which is one transaction, keeps the new lines and counts them, so that sums always agree with
// rows. SQL does the counting, since only it knows which lines are new at the moment that they are written; src/tabulate.ts
// gives it little to read.

import type { Settings } from "./environment";
import { firstIdOf } from "./judge";
import { D1_VALUE_BYTES, RETENTION_STEP_ROWS, RETENTION_STEPS } from "./limits";
import type { Kept, Sink, Valid } from "./sink";
import { tabulated } from "./tabulate";

/** 80 bits of the id in ?1, from its two parts that are random throughout. */
const SHORT_ID = "unhex(substr(?1, 1, 8) || substr(?1, 25, 12))";

// ?1 is today, ?2 how many events a day may bring, ?3 the rows: [event_id, number of its shape, digits of its id].
const FRESH = `fresh AS MATERIALIZED (
  SELECT value ->> 0 AS event_id, value ->> 1 AS shape, value ->> 2 AS id FROM json_each(?3)
  WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.event_id = value ->> 0)
    AND coalesce((SELECT n FROM received WHERE day = ?1), 0) < ?2
)`;

// ?4 is the shapes: [day, event, version, bit of the event, [[field, word, n], …]]. Materialized, they get an index.
const SHAPES = `shapes AS MATERIALIZED (SELECT key AS shape, value AS said FROM json_each(?4))`;

const RECEIVED = `SELECT n FROM received WHERE day = ?1`;

const COUNT_WORDS = `WITH ${FRESH}, ${SHAPES},
counted AS (SELECT shape, count(*) AS events FROM fresh GROUP BY shape)
INSERT INTO counters (day, event, version, dimension, word, n)
SELECT said ->> 0, said ->> 1, said ->> 2, value ->> 0, value ->> 1, sum(events * (value ->> 2))
FROM counted JOIN shapes USING (shape), json_each(said, '$[4]') WHERE true
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT DO UPDATE SET n = n + excluded.n`;

const COUNT_VISITS = `WITH ${FRESH}, ${SHAPES}, seen AS (SELECT DISTINCT shape, id FROM fresh)
INSERT INTO visits (day, version, id, events)
SELECT said ->> 0, said ->> 2, unhex(id), sum(DISTINCT said ->> 3)
FROM seen JOIN shapes USING (shape) WHERE true
GROUP BY 1, 2, 3
ON CONFLICT DO UPDATE SET events = events | excluded.events`;

const COUNT_IDS = `WITH ${FRESH}, seen AS (SELECT DISTINCT unhex(id) AS id FROM fresh)
UPDATE totals SET
  revision = revision + EXISTS (SELECT 1 FROM fresh),
  unique_ids = unique_ids + (SELECT count(*) FROM seen WHERE id NOT IN (SELECT id FROM ids))`;

const KEEP_IDS = `WITH ${FRESH}
INSERT INTO ids (id) SELECT DISTINCT unhex(id) FROM fresh WHERE true ON CONFLICT DO NOTHING`;

// ?3 is an array of lines.
const KEEP_EVENTS = `INSERT INTO events (event_id, anonymous_id, line)
SELECT value ->> 'event_id', value ->> 'anonymous_id', value FROM json_each(?3)
WHERE coalesce((SELECT n FROM received WHERE day = ?1), 0) < ?2
ON CONFLICT DO NOTHING`;

// changes() is the number of events that the statement before has inserted.
const COUNT_RECEIVED = `INSERT INTO received (day, n) VALUES (?1, changes())
ON CONFLICT DO UPDATE SET n = n + excluded.n`;

export class D1Sink implements Sink {
  constructor(
    private readonly db: D1Database,
    private readonly settings: Settings,
  ) {}

  async keep(events: Valid[], now: number): Promise<Kept> {
    const { rows, shapes } = tabulated(events);
    // Lines are JSON as JSON.stringify writes it, so that an array of them needs no second writing.
    const lines = `[${events.map(({ line }) => line).join(",")}]`;
    if (lines.length > D1_VALUE_BYTES) throw new Error("a batch is larger than D1 takes");
    const today = dayOf(now);
    const statement = (sql: string, ...values: string[]) =>
      this.db.prepare(sql).bind(today, this.settings.maxEventsADay, ...values);
    const results = await this.db.batch<{ n: number }>([
      this.db.prepare(RECEIVED).bind(today),
      statement(COUNT_WORDS, rows, shapes),
      statement(COUNT_VISITS, rows, shapes),
      statement(COUNT_IDS, rows),
      statement(KEEP_IDS, rows),
      statement(KEEP_EVENTS, lines),
      this.db.prepare(COUNT_RECEIVED).bind(today),
    ]);
    const received = results[0].results[0]?.n ?? 0;
    if (received >= this.settings.maxEventsADay) return { full: true };
    const accepted = results[5].meta.changes;
    return { full: false, accepted, duplicates: events.length - accepted };
  }

  async forget(anonymousId: string): Promise<number> {
    const statement = (sql: string) => this.db.prepare(sql).bind(anonymousId);
    const results = await this.db.batch([
      statement(
        `UPDATE totals SET revision = revision + 1,
           unique_ids = unique_ids - (SELECT count(*) FROM ids WHERE id = ${SHORT_ID})
         WHERE EXISTS (SELECT 1 FROM ids WHERE id = ${SHORT_ID})`,
      ),
      statement(`DELETE FROM ids WHERE id = ${SHORT_ID}`),
      statement(`DELETE FROM visits WHERE id = ${SHORT_ID}`),
      statement(`UPDATE events SET anonymous_id = NULL, line = NULL WHERE anonymous_id = ?1`),
    ]);
    return results[3].meta.changes;
  }

  async expire(now: number): Promise<void> {
    const from = now - this.settings.retentionDays * 86_400_000;
    const old = dayOf(from);
    await this.db.batch([
      this.db
        .prepare(
          `UPDATE totals SET revision = revision + 1, visits_from = ?1
           WHERE EXISTS (SELECT 1 FROM visits WHERE day < ?1)`,
        )
        .bind(old),
      this.db.prepare(`DELETE FROM visits WHERE day < ?1`).bind(old),
      // Yesterday's limit is of no use any more.
      this.db.prepare(`DELETE FROM received WHERE day < ?1`).bind(dayOf(now)),
    ]);
    const step = this.db
      .prepare(
        `DELETE FROM events WHERE event_id IN
           (SELECT event_id FROM events WHERE event_id < ?1 ORDER BY event_id LIMIT ?2)`,
      )
      .bind(firstIdOf(from), RETENTION_STEP_ROWS);
    for (let steps = 0; steps < RETENTION_STEPS; steps += 1) {
      const { meta } = await step.run();
      if (meta.changes < RETENTION_STEP_ROWS) return;
    }
  }
}

export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
