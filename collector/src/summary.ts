// The statistics, as `jmo-telemetry view --json` prints them.

import { EVENTS, FIELDS, LIST_OF, PAGE_ALONE } from "./charts";
import type { Part } from "./counters";
import { entry } from "./entry";

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

/** `idsFrom` is the first day of which ids can be told apart; null where nothing stands in the way. */
export function summaryOf(parts: Part[], uniqueIds: number, idsFrom: string | null): Summary {
  const [byEvent, byVersion, perDay] = [new Counted(), new Counted(), new Counted()];
  const byField = new Map<string, Counted>();
  for (const { day, event, version, counts } of parts) {
    for (const [field, word, n] of counts) {
      if (field === EVENTS) {
        byEvent.add(event, n);
        byVersion.add(version, n);
        perDay.add(day, n);
      }
      const list = LIST_OF.get(field);
      if (list !== undefined) entry(byField, list, () => new Counted()).add(word, n);
    }
  }
  const days = Object.keys(perDay.counts());
  const first = days.at(0) ?? null;
  const midnight = (day: string | null) => (day === null ? null : `${day}T00:00:00Z`);
  const summary: Summary = {
    events: byEvent.sum(),
    unique_ids: uniqueIds,
    first: midnight(first),
    last: midnight(days.at(-1) ?? null),
    duplicates: 0,
    malformed: 0,
    incomplete: first !== null && idsFrom !== null && first < idsFrom,
    by_event: byEvent.counts(),
  };
  for (const list of Object.keys(FIELDS)) {
    if (!PAGE_ALONE.includes(list)) summary[list] = byField.get(list)?.counts() ?? {};
  }
  summary.by_version = byVersion.counts();
  summary.per_day = perDay.counts();
  return summary;
}

/** How often each word came. */
class Counted {
  private readonly words = new Map<string, number>();

  add(word: string, n: number): void {
    this.words.set(word, (this.words.get(word) ?? 0) + n);
  }

  sum(): number {
    return [...this.words.values()].reduce((sum, n) => sum + n, 0);
  }

  /** In order of the words. */
  counts(): Counts {
    return Object.fromEntries([...this.words].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
  }
}
