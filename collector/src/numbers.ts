// The numbers that are read: from counters alone, so that they cost the same however many events there are.

import { DIMENSIONS, EVENTS, FIELDS, PAGE_ALONE } from "./charts";
import { EVENT_BITS } from "./event_bits";
import { CUBE_VERSIONS, CUBE_VISITS } from "./limits";

/** UTC days, both included; null where there is no end. */
export interface Period {
  since: string | null;
  until: string | null;
}

export const ALL: Period = { since: null, until: null };

type Counts = Record<string, number>;

/** As `jmo-telemetry view --json` prints it. */
export type Summary = {
  events: number;
  unique_ids: number;
  first: string | null;
  last: string | null;
  duplicates: number;
  malformed: number;
  incomplete: boolean;
  by_event: Counts;
} & Record<string, Counts | number | string | boolean | null>;

interface Totals {
  nonce: string;
  revision: number;
  unique_ids: number;
  visits_from: string | null;
}

export async function totals(db: D1Database): Promise<Totals> {
  const row = await db
    .prepare("SELECT nonce, revision, unique_ids, visits_from FROM totals")
    .first<Totals>();
  if (row === null) throw new Error("the database has no totals");
  return row;
}

const IN_PERIOD = "day BETWEEN coalesce(?1, '') AND coalesce(?2, '9')";

export async function summaryOf(db: D1Database, period: Period): Promise<Summary> {
  const statement = (sql: string) => db.prepare(sql).bind(period.since, period.until);
  const isAll = period.since === null && period.until === null;
  const [words, versions, days, ids, totals] = await db.batch<Row>([
    statement(`SELECT dimension, word, sum(n) AS n FROM counters WHERE ${IN_PERIOD} GROUP BY 1, 2`),
    statement(
      `SELECT version AS word, sum(n) AS n FROM counters
       WHERE ${IN_PERIOD} AND dimension = '${EVENTS}' GROUP BY 1`,
    ),
    statement(
      `SELECT day AS word, sum(n) AS n FROM counters
       WHERE ${IN_PERIOD} AND dimension = '${EVENTS}' GROUP BY 1 ORDER BY 1`,
    ),
    isAll
      ? db.prepare("SELECT unique_ids AS n FROM totals")
      : statement(`SELECT count(DISTINCT id) AS n FROM visits WHERE ${IN_PERIOD}`),
    db.prepare("SELECT visits_from AS word FROM totals"),
  ]);
  const perDay = counts(days.results);
  const first = days.results.at(0)?.word ?? null;
  const last = days.results.at(-1)?.word ?? null;
  const visitsFrom = (totals.results as { word: string | null }[])[0]?.word ?? null;
  const midnight = (day: string | null) => (day === null ? null : `${day}T00:00:00Z`);
  const listOf = (fields: string[]) =>
    counts(words.results.filter((row) => fields.includes(row.dimension)));
  const summary: Summary = {
    events: days.results.reduce((sum, row) => sum + row.n, 0),
    unique_ids: ids.results[0]?.n ?? 0,
    first: midnight(first),
    last: midnight(last),
    duplicates: 0,
    malformed: 0,
    // The ids of a part of days whose visits are gone cannot be told apart any more.
    incomplete: !isAll && first !== null && visitsFrom !== null && first < visitsFrom,
    by_event: listOf([EVENTS]),
  };
  for (const [name, fields] of Object.entries(FIELDS)) {
    if (!PAGE_ALONE.includes(name)) summary[name] = listOf(fields);
  }
  summary.by_version = counts(versions.results);
  summary.per_day = perDay;
  return summary;
}

interface Row {
  dimension: string;
  word: string;
  n: number;
}

function counts(rows: { word: string; n: number }[]): Counts {
  const counts = new Map<string, number>();
  for (const { word, n } of rows) counts.set(word, (counts.get(word) ?? 0) + n);
  return Object.fromEntries([...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
}

/** A day's number, an event's, a version's, how many events, then words by number and how often they come, in turns. */
type Group = [number, number, number, number, number[]];
/** A day's number, a version's, then in turns an id's distance from the one before and a bit for each event. */
type Visits = [number, number, number[]];

/** What the page's filters need; the program embeds the same in the page that it writes. */
export interface Cube {
  dimensions: { name: string }[];
  days: string[];
  events: string[];
  versions: string[];
  words: [string, string][];
  groups: Group[];
  visits: Visits[] | null;
  visits_from?: string;
}

interface CounterRow {
  day: string;
  event: string;
  version: string;
  dimension: string;
  word: string;
  n: number;
}

interface VisitRow {
  day: string;
  version: string;
  id: string;
  events: number;
}

export async function cubeOf(db: D1Database): Promise<Cube> {
  const [counted, visited, kept] = await db.batch([
    db.prepare("SELECT day, event, version, dimension, word, n FROM counters"),
    db
      .prepare("SELECT day, version, hex(id) AS id, events FROM visits LIMIT ?1")
      .bind(CUBE_VISITS + 1),
    db.prepare("SELECT visits_from FROM totals"),
  ]);
  const counters = counted.results as CounterRow[];
  const visits = visited.results as VisitRow[];
  const days = numbered(counters.map((row) => row.day));
  const events = numbered(counters.map((row) => row.event));
  const versions = shownVersions(counters);
  const versionOf = (version: string) => versions.numbers.get(version) ?? versions.list.length - 1;
  const words = new Words();
  const groups = new Map<string, Group>();
  for (const row of counters) {
    const [day, event] = [days.numbers.get(row.day) ?? -1, events.numbers.get(row.event) ?? 0];
    const version = versionOf(row.version);
    const key = `${String(day)} ${String(event)} ${String(version)}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = [day, event, version, 0, []]));
    if (row.dimension === EVENTS) group[3] += row.n;
    const word = words.number(row.dimension, row.word);
    if (word !== null) group[4].push(word, row.n);
  }
  const visitsFrom = (kept.results as { visits_from: string | null }[])[0]?.visits_from;
  return {
    dimensions: DIMENSIONS,
    days: days.list,
    events: events.list,
    versions: versions.list,
    words: words.list,
    groups: [...groups.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]),
    visits:
      visits.length > CUBE_VISITS
        ? null
        : visitsOf(visits, (day) => days.numbers.get(day) ?? -1, versionOf, events.list),
    ...(visitsFrom == null ? {} : { visits_from: visitsFrom }),
  };
}

function visitsOf(
  rows: VisitRow[],
  dayOf: (day: string) => number,
  versionOf: (version: string) => number,
  events: string[],
): Visits[] {
  const ids = numbered(rows.map((row) => row.id)).numbers;
  const bitsOf = (stored: number) =>
    events.reduce((bits, event, at) => (stored & EVENT_BITS[event] ? bits | (1 << at) : bits), 0);
  const groups = new Map<string, { day: number; version: number; seen: Map<number, number> }>();
  for (const row of rows) {
    const [day, version] = [dayOf(row.day), versionOf(row.version)];
    const key = `${String(day)} ${String(version)}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { day, version, seen: new Map() }));
    const id = ids.get(row.id) ?? 0;
    group.seen.set(id, (group.seen.get(id) ?? 0) | bitsOf(row.events));
  }
  const ordered = [...groups.values()].sort((a, b) => a.day - b.day || a.version - b.version);
  return ordered.map(({ day, version, seen }) => {
    const pairs: number[] = [];
    let before = 0;
    for (const [id, bits] of [...seen].sort((a, b) => a[0] - b[0])) {
      pairs.push(id - before, bits);
      before = id;
    }
    return [day, version, pairs];
  });
}

function numbered(names: string[]): { list: string[]; numbers: Map<string, number> } {
  const list = [...new Set(names)].sort();
  return { list, numbers: new Map(list.map((name, at) => [name, at])) };
}

/** The most common versions; all others share the last place. */
function shownVersions(counters: CounterRow[]): ReturnType<typeof numbered> {
  const events = new Map<string, number>();
  for (const { dimension, version, n } of counters) {
    if (dimension === EVENTS) events.set(version, (events.get(version) ?? 0) + n);
  }
  const ranked = [...events].sort((a, b) => b[1] - a[1]).map(([version]) => version);
  const shown = numbered(ranked.slice(0, CUBE_VERSIONS));
  if (ranked.length > CUBE_VERSIONS) shown.list.push("(others)");
  return shown;
}

/** Words by number, each with the name of its list. */
class Words {
  readonly list: [string, string][] = [];
  private readonly numbers = new Map<string, number>();
  private readonly listOf = new Map(
    Object.entries(FIELDS).flatMap(([list, fields]) => fields.map((of) => [of, list] as const)),
  );

  /** Null for a field that no list counts. */
  number(dimension: string, word: string): number | null {
    const list = this.listOf.get(dimension);
    if (list === undefined) return null;
    const key = `${list} ${word}`;
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.list.push([list, word]) - 1;
      this.numbers.set(key, number);
    }
    return number;
  }
}
