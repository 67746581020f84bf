// The numbers that are read: from counters alone, and each counter once, so that they cost the same however many events
// there are.

import { OTHERS } from "./charts";
import type { Part, Visit } from "./counters";
import { Cube, type CubeData } from "./cube";
import { CUBE_VERSIONS, CUBE_VISITS, PARTS_A_QUERY } from "./limits";
import { type Summary, Summing } from "./summary";

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
const IDS = `SELECT count(DISTINCT id) AS n FROM visits
  WHERE day BETWEEN coalesce(?1, '') AND coalesce(?2, '9')`;
// A row for each part, since D1 takes far more memory for a row than for what is in it.
const PARTS = `SELECT day, event, version, json_group_array(json_array(dimension, word, n)) AS counts
  FROM counters WHERE (day, event, version) > (?1, ?2, ?3) AND day <= ?4
  GROUP BY day, event, version LIMIT ?5`;
const VERSIONS = `SELECT version FROM counters
  WHERE dimension = 'event' AND version <> '${OTHERS}' GROUP BY version ORDER BY sum(n) DESC, version LIMIT ?1`;
const VISITS = "SELECT day, version, hex(id) AS id, events FROM visits LIMIT ?1";

export async function totals(db: D1Database): Promise<Totals> {
  return one(await db.prepare(TOTALS).all<Totals>());
}

/** The statistics of a period. */
export async function statistics(db: D1Database, period: Period): Promise<Summary> {
  const { since, until } = period;
  const kept = await totals(db);
  const summing = new Summing();
  for await (const part of partsIn(db, period)) summing.add(part);
  if (since === null && until === null) return summing.summary(kept.unique_ids, null);
  const { n: ids } = one(await db.prepare(IDS).bind(since, until).all<{ n: number }>());
  // The ids of a part of days whose visits are gone cannot be told apart any more.
  return summing.summary(ids, kept.visits_from);
}

/** What the page shows: the statistics of all time, and what its filters need. */
export async function pageData(db: D1Database): Promise<{ summary: Summary; cube: CubeData }> {
  const kept = await totals(db);
  const common = await db.prepare(VERSIONS).bind(CUBE_VERSIONS).all<{ version: string }>();
  const summing = new Summing();
  const cube = new Cube(common.results.map(({ version }) => version));
  for await (const part of partsIn(db, { since: null, until: null })) {
    summing.add(part);
    cube.add(part);
  }
  const visits = await db
    .prepare(VISITS)
    .bind(CUBE_VISITS + 1)
    .all<Visit>();
  return {
    summary: summing.summary(kept.unique_ids, null),
    cube: cube.data(visits.results, kept.visits_from),
  };
}

/**
 * The parts of a period in order of day, event and version. They are asked for by and by, because the memory of a Worker
 * takes the counters of a year, but not those of many. What is counted meanwhile may be in or not: the ETag is older,
 * so who asks again gets all of it.
 */
async function* partsIn(db: D1Database, { since, until }: Period): AsyncGenerator<Part> {
  let after = [since ?? "", "", ""];
  for (;;) {
    const { results } = await db
      .prepare(PARTS)
      .bind(...after, until ?? "9", PARTS_A_QUERY)
      .all<Omit<Part, "counts"> & { counts: string }>();
    for (const row of results) {
      yield { ...row, counts: JSON.parse(row.counts) as Part["counts"] };
    }
    const last = results.at(-1);
    if (last === undefined || results.length < PARTS_A_QUERY) return;
    after = [last.day, last.event, last.version];
  }
}

function one<T>({ results }: D1Result<T>): T {
  const row = results.at(0);
  if (row === undefined) throw new Error("the database has no totals");
  return row;
}
