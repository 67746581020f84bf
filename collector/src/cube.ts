// The page's data: what its filters need to count anew.

import { DIMENSIONS, EVENTS, LIST_OF } from "./charts";
import type { Part, Visit } from "./counters";
import { entry } from "./entry";
import { EVENT_BITS } from "./event_bits";
import { CUBE_VERSIONS, CUBE_VISITS } from "./limits";

/** A day's number, an event's, a version's, how many events, then words by number and how often they come, in turns. */
type Group = [number, number, number, number, number[]];
/** A day's number, a version's, then in turns an id's distance from the one before and a bit for each event. */
type Seen = [number, number, number[]];

/** What the page's filters need; the program embeds the same in the page that it writes. */
export interface Cube {
  dimensions: { name: string }[];
  days: string[];
  events: string[];
  versions: string[];
  words: [string, string][];
  groups: Group[];
  visits: Seen[] | null;
  visits_from?: string;
}

export function cubeOf(parts: Part[], visits: Visit[], visitsFrom: string | null): Cube {
  const days = numbered(parts.map(({ day }) => day));
  const events = numbered(parts.map(({ event }) => event));
  const versions = shownVersions(parts);
  const versionOf = (version: string) => versions.numbers.get(version) ?? versions.list.length - 1;
  const words = new Words();
  const groups = new Map<string, Group>();
  for (const part of parts) {
    const [day, event] = [days.numbers.get(part.day) ?? -1, events.numbers.get(part.event) ?? 0];
    const version = versionOf(part.version);
    const key = `${String(day)} ${String(event)} ${String(version)}`;
    const group = entry(groups, key, (): Group => [day, event, version, 0, []]);
    for (const [field, word, n] of part.counts) {
      if (field === EVENTS) group[3] += n;
      const list = LIST_OF.get(field);
      if (list !== undefined) group[4].push(words.number(list, word), n);
    }
  }
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
        : seenIn(visits, (day) => days.numbers.get(day) ?? -1, versionOf, events.list),
    ...(visitsFrom === null ? {} : { visits_from: visitsFrom }),
  };
}

function seenIn(
  visits: Visit[],
  dayOf: (day: string) => number,
  versionOf: (version: string) => number,
  events: string[],
): Seen[] {
  const numbers = numbered(visits.map(({ id }) => id)).numbers;
  const bitsOf = (stored: number) =>
    events.reduce((bits, event, at) => (stored & EVENT_BITS[event] ? bits | (1 << at) : bits), 0);
  const groups = new Map<string, { day: number; version: number; seen: Map<number, number> }>();
  for (const visit of visits) {
    const [day, version] = [dayOf(visit.day), versionOf(visit.version)];
    const key = `${String(day)} ${String(version)}`;
    const { seen } = entry(groups, key, () => ({ day, version, seen: new Map() }));
    const number = numbers.get(visit.id) ?? 0;
    seen.set(number, (seen.get(number) ?? 0) | bitsOf(visit.events));
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
function shownVersions(parts: Part[]): ReturnType<typeof numbered> {
  const events = new Map<string, number>();
  for (const { version, counts } of parts) {
    const [, , n] = counts.find(([field]) => field === EVENTS) ?? [EVENTS, "", 0];
    events.set(version, (events.get(version) ?? 0) + n);
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

  number(list: string, word: string): number {
    return entry(this.numbers, `${list} ${word}`, () => this.list.push([list, word]) - 1);
  }
}
