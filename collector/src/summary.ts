// The statistics, as `jmo-telemetry view --json` prints them.

import { EVENTS, FIELDS, LIST_OF, OTHERS, PAGE_ALONE } from "./charts";
import type { Part } from "./counters";
import { entry } from "./entry";
import { STATS_WORDS } from "./limits";

type Counts = Record<string, number>;

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

/** Collects parts, in order of their days. */
export class Summing {
  private readonly byEvent = new Counted();
  private readonly byVersion = new Counted();
  private readonly perDay = new Counted();
  private readonly lists = new Map<string, Counted>();

  add({ day, event, version, counts }: Part): void {
    for (const [field, word, n] of counts) {
      if (field === EVENTS) {
        this.byEvent.add(event, n);
        this.byVersion.add(version, n);
        this.perDay.add(day, n);
      }
      const list = LIST_OF.get(field);
      if (list !== undefined) entry(this.lists, list, () => new Counted()).add(word, n);
    }
  }

  /** `idsFrom` is the first day of which ids can be told apart; null where nothing stands in the way. */
  summary(uniqueIds: number, idsFrom: string | null): Summary {
    const perDay = this.perDay.counts();
    const days = Object.keys(perDay);
    const first = days.at(0) ?? null;
    const midnight = (day: string | null) => (day === null ? null : `${day}T00:00:00Z`);
    const summary: Summary = {
      events: this.byEvent.sum(),
      unique_ids: uniqueIds,
      first: midnight(first),
      last: midnight(days.at(-1) ?? null),
      duplicates: 0,
      malformed: 0,
      incomplete: first !== null && idsFrom !== null && first < idsFrom,
      by_event: this.byEvent.counts(),
    };
    for (const list of Object.keys(FIELDS)) {
      if (!PAGE_ALONE.includes(list)) summary[list] = this.lists.get(list)?.counts() ?? {};
    }
    summary.by_version = this.byVersion.counts();
    summary.per_day = perDay;
    return summary;
  }
}

/** How often each word came. */
class Counted {
  private readonly words = new Map<string, number>();

  add(word: string, n: number): void {
    const isKnown = this.words.has(word) || this.words.size < STATS_WORDS;
    const counted = isKnown ? word : OTHERS;
    this.words.set(counted, (this.words.get(counted) ?? 0) + n);
  }

  sum(): number {
    return [...this.words.values()].reduce((sum, n) => sum + n, 0);
  }

  /** In order of the words. */
  counts(): Counts {
    return Object.fromEntries([...this.words].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
  }
}
