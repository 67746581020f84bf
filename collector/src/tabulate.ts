// What a batch adds to the counters, summed up before it is written: most events of a batch are alike in all that is
// counted, so a few rows say it.

import { EVENTS } from "./charts";
import { entry } from "./entry";
import { EVENT_BITS } from "./event_bits";
import type { Event, Valid } from "./sink";

/** What came how often: `{field: {word: n}}`. */
type Fields = Record<string, Record<string, number>>;
/** A day, an event, a version, and how often each word came with them. */
type Count = [string, string, string, Fields];
/** A day, a version, the digits of an id, and the bits of the events that it sent. */
type Visit = [string, string, string, number];

/** Both as JSON. */
export interface Tables {
  counts: string;
  visits: string;
}

export function tabulated(events: Valid[]): Tables {
  const counts = new Map<string, Count>();
  const visits = new Map<string, Visit>();
  for (const { event } of events) {
    const { event: name, version } = event;
    const day = event.timestamp.slice(0, 10);
    const count = entry(counts, `${day} ${name} ${version}`, (): Count => [day, name, version, {}]);
    countWords(count[3], event);
    const id = digitsOf(event.anonymous_id);
    const visit = entry(visits, `${day} ${version} ${id}`, (): Visit => [day, version, id, 0]);
    visit[3] |= EVENT_BITS[name];
  }
  return {
    counts: JSON.stringify([...counts.values()]),
    visits: JSON.stringify([...visits.values()]),
  };
}

/** The parts of an id that are random throughout: 80 bits. */
function digitsOf(id: string): string {
  return id.slice(0, 8) + id.slice(24);
}

/** Each word of the metadata under its field's name, and the three words beside it. Of targets the number counts. */
function countWords(fields: Fields, event: Event): void {
  const add = (field: string, word: string, n: number) => {
    const words = (fields[field] ??= {});
    words[word] = (words[word] ?? 0) + n;
  };
  add(EVENTS, event.event, 1);
  add("platform", event.platform, 1);
  if (event.python_version !== null) add("python_version", event.python_version, 1);
  for (const [field, value] of Object.entries(event.metadata)) {
    if (typeof value === "string") {
      add(field, value, 1);
    } else if (Array.isArray(value)) {
      for (const word of value as string[]) add(field, word, 1);
    } else if (typeof value === "object" && value !== null) {
      for (const [word, n] of Object.entries(value as Record<string, number>)) {
        if (n > 0) add(field, word, n);
      }
    }
  }
}
