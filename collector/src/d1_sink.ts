// Events in D1: one batch, which is one transaction, keeps the new lines and counts them, so that sums always agree with
// rows. SQL does the counting, since only it knows which lines are new at the moment that they are written.

import type { Settings } from "./environment";
import { firstIdOf } from "./judge";
import { D1_VALUE_BYTES, RETENTION_STEP_ROWS, RETENTION_STEPS } from "./limits";
import type { Kept, Sink } from "./sink";

/** The bit of each event in `visits`. */
export const EVENT_BITS: Record<string, number> = {
  "scan.started": 1,
  "scan.completed": 2,
  "tool.failed": 4,
  "wizard.completed": 8,
  "report.generated": 16,
  "policy.evaluated": 32,
};

const BIT = `CASE line ->> 'event' ${Object.entries(EVENT_BITS)
  .map(([event, bit]) => `WHEN '${event}' THEN ${String(bit)}`)
  .join(" ")} END`;

/** 80 bits of an id, from its two parts that are random throughout. */
const shortId = (id: string) => `unhex(substr(${id}, 1, 8) || substr(${id}, 25, 12))`;

// ?1 is an array of lines, ?2 today, ?3 how many events a day may bring.
const FRESH = `fresh AS MATERIALIZED (
  SELECT value AS line FROM json_each(?1)
  WHERE NOT EXISTS (SELECT 1 FROM events WHERE event_id = value ->> 'event_id')
    AND coalesce((SELECT n FROM received WHERE day = ?2), 0) < ?3
)`;

const RECEIVED = `SELECT n FROM received WHERE day = ?1`;

// Each word of the metadata is counted under its field's name, and so are the three words beside it. Of targets it is
// the number that counts. SQLite puts names with an underscore into quotation marks.
const COUNT_WORDS = `WITH ${FRESH}
INSERT INTO counters (day, event, version, dimension, word, n)
SELECT
  substr(line ->> 'timestamp', 1, 10),
  line ->> 'event',
  line ->> 'version',
  CASE WHEN path IN ('$', '$.metadata') THEN key ELSE substr(replace(path, '"', ''), 12) END,
  CASE replace(path, '"', '') WHEN '$.metadata.target_types' THEN key ELSE atom END,
  sum(CASE replace(path, '"', '') WHEN '$.metadata.target_types' THEN atom ELSE 1 END)
FROM fresh, json_tree(line)
WHERE CASE replace(path, '"', '')
  WHEN '$' THEN key IN ('event', 'platform', 'python_version') AND type = 'text'
  WHEN '$.metadata.target_types' THEN atom > 0
  ELSE type = 'text' END
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT DO UPDATE SET n = n + excluded.n`;

const COUNT_VISITS = `WITH ${FRESH}
INSERT INTO visits (day, version, id, events)
SELECT
  substr(line ->> 'timestamp', 1, 10), line ->> 'version', ${shortId("line ->> 'anonymous_id'")},
  sum(DISTINCT ${BIT})
FROM fresh WHERE true
GROUP BY 1, 2, 3
ON CONFLICT DO UPDATE SET events = events | excluded.events`;

const COUNT_IDS = `WITH ${FRESH}, new_ids AS (
  SELECT DISTINCT ${shortId("line ->> 'anonymous_id'")} AS id FROM fresh
)
UPDATE totals SET
  revision = revision + EXISTS (SELECT 1 FROM fresh),
  unique_ids = unique_ids + (SELECT count(*) FROM new_ids WHERE id NOT IN (SELECT id FROM ids))`;

const KEEP_IDS = `WITH ${FRESH}
INSERT INTO ids (id)
SELECT DISTINCT ${shortId("line ->> 'anonymous_id'")} FROM fresh WHERE true
ON CONFLICT DO NOTHING`;

const KEEP_EVENTS = `WITH ${FRESH}
INSERT INTO events (event_id, anonymous_id, line)
SELECT line ->> 'event_id', line ->> 'anonymous_id', line FROM fresh WHERE true
ON CONFLICT DO NOTHING`;

// changes() is the number of events that the statement before has inserted.
const COUNT_RECEIVED = `INSERT INTO received (day, n) VALUES (?1, changes())
ON CONFLICT DO UPDATE SET n = n + excluded.n`;

export class D1Sink implements Sink {
  constructor(
    private readonly db: D1Database,
    private readonly settings: Settings,
  ) {}

  async keep(lines: string[], now: number): Promise<Kept> {
    // Lines are JSON as JSON.stringify writes it, so that an array of them needs no second writing.
    const array = `[${lines.join(",")}]`;
    if (array.length > D1_VALUE_BYTES) throw new Error("a batch is larger than D1 takes");
    const today = dayOf(now);
    const statement = (sql: string) =>
      this.db.prepare(sql).bind(array, today, this.settings.maxEventsADay);
    const results = await this.db.batch<{ n: number }>([
      this.db.prepare(RECEIVED).bind(today),
      statement(COUNT_WORDS),
      statement(COUNT_VISITS),
      statement(COUNT_IDS),
      statement(KEEP_IDS),
      statement(KEEP_EVENTS),
      this.db.prepare(COUNT_RECEIVED).bind(today),
    ]);
    const received = results[0].results[0]?.n ?? 0;
    if (received >= this.settings.maxEventsADay) return { full: true };
    const accepted = results[5].meta.changes;
    return { full: false, accepted, duplicates: lines.length - accepted };
  }

  async forget(anonymousId: string): Promise<number> {
    const statement = (sql: string) => this.db.prepare(sql).bind(anonymousId);
    const short = shortId("?1");
    const results = await this.db.batch([
      statement(
        `UPDATE totals SET revision = revision + 1,
           unique_ids = unique_ids - (SELECT count(*) FROM ids WHERE id = ${short})
         WHERE EXISTS (SELECT 1 FROM ids WHERE id = ${short})`,
      ),
      statement(`DELETE FROM ids WHERE id = ${short}`),
      statement(`DELETE FROM visits WHERE id = ${short}`),
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
