// The numbers that are read: from counters alone, and each counter once, so that they cost the same however many events
// there are.

import type { Part, Visit } from "./counters";
import { type Cube, cubeOf } from "./cube";
import { CUBE_VISITS } from "./limits";
import { type Summary, summaryOf } from "./summary";

/** UTC days, both included; null where there is no end. */
export interface Period {
  since: string | null;
  until: string | null;
}

interface Totals {
  nonce: string;
  revision: number;
  unique_ids: number;
  visits_from: string | null;
}

const TOTALS = "SELECT nonce, revision, unique_ids, visits_from FROM totals";
const IN_PERIOD = "WHERE day BETWEEN coalesce(?1, '') AND coalesce(?2, '9')";
// A row for each part, since D1 takes far more memory for a row than for what is in it.
const partsIn = (where = "") =>
  `SELECT day, event, version, json_group_array(json_array(dimension, word, n)) AS counts
   FROM counters ${where} GROUP BY day, event, version`;
const VISITS = "SELECT day, version, hex(id) AS id, events FROM visits LIMIT ?1";

export async function totals(db: D1Database): Promise<Totals> {
  return theTotals(await db.prepare(TOTALS).all());
}

/** The statistics of a period. */
export async function statistics(db: D1Database, { since, until }: Period): Promise<Summary> {
  const isAll = since === null && until === null;
  const inPeriod = (sql: string) => db.prepare(sql).bind(since, until);
  const [kept, counted, ids] = await db.batch([
    db.prepare(TOTALS),
    inPeriod(partsIn(IN_PERIOD)),
    isAll
      ? db.prepare("SELECT unique_ids AS n FROM totals")
      : inPeriod(`SELECT count(DISTINCT id) AS n FROM visits ${IN_PERIOD}`),
  ]);
  const [{ n: uniqueIds }] = ids.results as { n: number }[];
  // The ids of a part of days whose visits are gone cannot be told apart any more.
  const idsFrom = isAll ? null : theTotals(kept).visits_from;
  return summaryOf(partsOf(counted), uniqueIds, idsFrom);
}

/** The statistics of all time, and what the page's filters need. */
export async function pageData(db: D1Database): Promise<{ summary: Summary; cube: Cube }> {
  const [kept, counted, visited] = await db.batch([
    db.prepare(TOTALS),
    db.prepare(partsIn()),
    db.prepare(VISITS).bind(CUBE_VISITS + 1),
  ]);
  const { unique_ids: uniqueIds, visits_from: visitsFrom } = theTotals(kept);
  const parts = partsOf(counted);
  return {
    summary: summaryOf(parts, uniqueIds, null),
    cube: cubeOf(parts, visited.results as Visit[], visitsFrom),
  };
}

function partsOf({ results }: D1Result): Part[] {
  const rows = results as (Omit<Part, "counts"> & { counts: string })[];
  return rows.map((row) => ({ ...row, counts: JSON.parse(row.counts) as Part["counts"] }));
}

function theTotals({ results }: D1Result): Totals {
  const row = (results as Totals[]).at(0);
  if (row === undefined) throw new Error("the database has no totals");
  return row;
}
