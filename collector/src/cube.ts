// The page's data: what its filters need to count anew.

import { DIMENSIONS, EVENTS, LIST_OF, OTHERS } from "./charts";
import type { Part, Visit } from "./counters";
import { entry } from "./entry";
import { EVENT_BITS } from "./event_bits";
import { CUBE_VISITS } from "./limits";

/** A day's number, an event's, a version's, how many events, then words by number and how often they come, in turns. */
type Group = [number, number, number, number, number[]];
/** A day's number, a version's, then in turns an id's distance from the one before and a bit for each event. */
type Seen = [number, number, number[]];

/** What the page's filters need; the program embeds the same in the page that it writes. */
export interface CubeData {
  dimensions: { name: string }[];
  days: string[];
  events: string[];
  versions: string[];
  words: [string, string][];
  groups: Group[];
  visits: Seen[] | null;
  visits_from?: string;
}

/** Collects parts, in order of their days. */
export class Cube {
  private readonly days = new Numbered();
  private readonly events = new Numbered();
  private readonly versions = new Numbered();
  private readonly words = new Numbered();
  private readonly groups: Group[] = [];
  /** By day and event, what came with versions that share a place. */
  private readonly shared = new Map<string, Shared>();

  /** `common` are the most common versions; all others share a place. */
  constructor(common: string[]) {
    for (const version of common) this.versions.number(version);
  }

  add(part: Part): void {
    const [day, event] = [this.days.number(part.day), this.events.number(part.event)];
    const version = this.versions.find(part.version);
    let events = 0;
    const words: [number, number][] = [];
    for (const [field, word, n] of part.counts) {
      if (field === EVENTS) events += n;
      const list = LIST_OF.get(field);
      if (list !== undefined) words.push([this.words.number(`${list} ${word}`), n]);
    }
    if (version !== undefined) {
      this.groups.push([day, event, version, events, words.flat()]);
      return;
    }
    const make = () => ({ day, event, events: 0, words: new Map<number, number>() });
    const shared = entry(this.shared, `${String(day)} ${String(event)}`, make);
    shared.events += events;
    for (const [word, n] of words) shared.words.set(word, (shared.words.get(word) ?? 0) + n);
  }

  data(visits: Visit[], visitsFrom: string | null): CubeData {
    const others = this.versions.list.length;
    const shared = [...this.shared.values()].map(({ day, event, events, words }): Group => [
      day,
      event,
      others,
      events,
      [...words].flat(),
    ]);
    return {
      dimensions: DIMENSIONS,
      days: this.days.list,
      events: this.events.list,
      versions: shared.length > 0 ? [...this.versions.list, OTHERS] : this.versions.list,
      words: this.words.list.map(listAndWord),
      groups: [...this.groups, ...shared],
      visits: visits.length > CUBE_VISITS ? null : this.seen(visits),
      ...(visitsFrom === null ? {} : { visits_from: visitsFrom }),
    };
  }

  private seen(visits: Visit[]): Seen[] {
    const ids = new Numbered();
    const bitsOf = (stored: number) =>
      this.events.list.reduce(
        (bits, event, at) => (stored & EVENT_BITS[event] ? bits | (1 << at) : bits),
        0,
      );
    const groups = new Map<string, { day: number; version: number; bits: Map<number, number> }>();
    for (const visit of visits) {
      const day = this.days.find(visit.day) ?? -1;
      const version = this.versions.find(visit.version) ?? this.versions.list.length;
      const make = () => ({ day, version, bits: new Map<number, number>() });
      const { bits } = entry(groups, `${String(day)} ${String(version)}`, make);
      const id = ids.number(visit.id);
      bits.set(id, (bits.get(id) ?? 0) | bitsOf(visit.events));
    }
    return [...groups.values()].map(({ day, version, bits }) => [day, version, inTurns(bits)]);
  }
}

/** What several versions sent on a day. */
interface Shared {
  day: number;
  event: number;
  events: number;
  words: Map<number, number>;
}

/** Each id as its distance from the one before, so that the numbers are short, and its bits. */
function inTurns(bits: Map<number, number>): number[] {
  let before = 0;
  return [...bits]
    .sort(([one], [other]) => one - other)
    .flatMap(([id, its]) => {
      const distance = id - before;
      before = id;
      return [distance, its];
    });
}

/** A list's name has no blank in it. */
function listAndWord(both: string): [string, string] {
  const at = both.indexOf(" ");
  return [both.slice(0, at), both.slice(at + 1)];
}

/** Names by number, in the order in which they come. */
class Numbered {
  readonly list: string[] = [];
  private readonly numbers = new Map<string, number>();

  number(name: string): number {
    return entry(this.numbers, name, () => this.list.push(name) - 1);
  }

  find(name: string): number | undefined {
    return this.numbers.get(name);
  }
}
