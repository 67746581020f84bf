// Events in D1. One `db.batch`, which is one transaction, keeps a batch of events and counts them, so that sums always
// agree with rows.

import { OTHERS } from "./charts";
import type { Settings } from "./environment";
import { boundOf } from "./judge";
import { D1_VALUE_BYTES, DAY_VERSIONS, RETENTION_STEP_ROWS, RETENTION_STEPS } from "./limits";
import type { Kept, Sink, Valid } from "./sink";
import { tabulated } from "./tabulate";

/** 80 bits of the id in ?1, from its two parts that are random throughout. */
const SHORT_ID = "unhex(substr(?1, 1, 8) || substr(?1, 25, 12))";

// On a day that is full (?1 is the day, ?2 its limit) the number is NULL, which fails, and the transaction with it.
const COUNT_RECEIVED = `INSERT INTO received (day, n)
VALUES (?1, CASE WHEN coalesce((SELECT n FROM received WHERE day = ?1), 0) < ?2 THEN ?3 END)
ON CONFLICT DO UPDATE SET n = n + excluded.n`;

// A known event_id fails, and the transaction with it: what is counted beside it must be new.
const KEEP_EVENTS = `INSERT INTO events (event_id, anonymous_id, line)
SELECT value ->> 'event_id', value ->> 'anonymous_id', value FROM json_each(?1)`;

// Where a day has ?2 versions of an event, those that come then share a row, or made-up ones would make counters grow
// without limit.
const COUNT_WORDS = `WITH parts AS MATERIALIZED (
  SELECT value ->> 0 AS day, value ->> 1 AS event, value ->> 2 AS version, value -> 3 AS fields FROM json_each(?1)
), shown AS MATERIALIZED (
  SELECT day, event, fields, CASE
    WHEN EXISTS (SELECT 1 FROM counters AS known WHERE dimension = 'event'
      AND known.day = parts.day AND known.event = parts.event AND known.version = parts.version)
    OR (SELECT count(*) FROM counters AS known WHERE dimension = 'event'
      AND known.day = parts.day AND known.event = parts.event) < ?2
    THEN version ELSE '${OTHERS}' END AS version
  FROM parts
)
INSERT INTO counters (day, event, version, dimension, word, n)
SELECT shown.day, shown.event, shown.version, field.key, word.key, word.value
FROM shown, json_each(shown.fields) AS field, json_each(field.value) AS word WHERE true
ON CONFLICT DO UPDATE SET n = n + excluded.n`;

const COUNT_VISITS = `INSERT INTO visits (day, version, id, events)
SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3 FROM json_each(?1) WHERE true
ON CONFLICT DO UPDATE SET events = events | excluded.events`;

const KEEP_IDS = `INSERT INTO ids (id)
SELECT unhex(value ->> 2) FROM json_each(?1) WHERE true
ON CONFLICT DO NOTHING`;

// changes() is the number of ids that the statement before has inserted.
const COUNT_IDS = `UPDATE totals SET revision = revision + 1, unique_ids = unique_ids + changes()`;

const RECEIVED = `SELECT n FROM received WHERE day = ?1`;

const KNOWN = `SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each(?1))`;

export class D1Sink implements Sink {
  constructor(
    private readonly db: D1Database,
    private readonly settings: Settings,
  ) {}

  /**
   * Inserts the events as if all were new, which they nearly always are. Where that fails, what is known by now is left
   * out and the rest tried again; each time there is less of it. A failure that nothing explains is the database's.
   */
  async keep(events: Valid[], now: number): Promise<Kept> {
    const today = dayOf(now);
    let fresh = events;
    while (fresh.length > 0) {
      try {
        await this.insert(fresh, today);
        break;
      } catch (error) {
        const { isFull, known } = await this.look(fresh, today);
        if (isFull) return { full: true };
        if (known.size === 0) throw error;
        fresh = fresh.filter(({ event }) => !known.has(event.event_id));
      }
    }
    return { full: false, accepted: fresh.length, duplicates: events.length - fresh.length };
  }

  private async insert(events: Valid[], today: string): Promise<void> {
    const { counts, visits } = tabulated(events);
    // Lines are JSON as JSON.stringify writes it, so that an array of them needs no second writing.
    const lines = `[${events.map(({ line }) => line).join(",")}]`;
    if (Math.max(lines.length, counts.length) > D1_VALUE_BYTES) {
      throw new Error("a batch is larger than D1 takes");
    }
    await this.db.batch([
      this.db.prepare(COUNT_RECEIVED).bind(today, this.settings.maxEventsADay, events.length),
      this.db.prepare(KEEP_EVENTS).bind(lines),
      this.db.prepare(COUNT_WORDS).bind(counts, DAY_VERSIONS),
      this.db.prepare(COUNT_VISITS).bind(visits),
      this.db.prepare(KEEP_IDS).bind(visits),
      this.db.prepare(COUNT_IDS),
    ]);
  }

  /** What can make an insertion fail and is no trouble. */
  private async look(
    events: Valid[],
    today: string,
  ): Promise<{ isFull: boolean; known: Set<string> }> {
    const ids = JSON.stringify(events.map(({ event }) => event.event_id));
    const [received, known] = await this.db.batch([
      this.db.prepare(RECEIVED).bind(today),
      this.db.prepare(KNOWN).bind(ids),
    ]);
    const [{ n } = { n: 0 }] = received.results as { n: number }[];
    return {
      isFull: n >= this.settings.maxEventsADay,
      known: new Set((known.results as { event_id: string }[]).map((row) => row.event_id)),
    };
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
      .bind(boundOf(from), RETENTION_STEP_ROWS);
    for (let steps = 0; steps < RETENTION_STEPS; steps += 1) {
      const { meta } = await step.run();
      if (meta.changes < RETENTION_STEP_ROWS) return;
    }
  }
}

export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
