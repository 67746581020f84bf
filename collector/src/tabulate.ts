// A batch as the few tables that counting it takes. Most events of a batch are alike in all that is counted, so a shape,
// which is all of that, is written once, and each event names its shape by its number.

import { EVENTS } from "./charts";
import { EVENT_BITS } from "./event_bits";
import type { Event, Valid } from "./sink";

export interface Tables {
  /** `[event_id, number of its shape, digits of its id]` for each event. */
  rows: string;
  /** `[day, event, version, bit of the event, [[field, word, n], …]]` */
  shapes: string;
}

export function tabulated(events: Valid[]): Tables {
  const shapes = new Map<string, number>();
  const rows = events.map(({ event }) => {
    const { event_id: eventId, anonymous_id: id } = event;
    const shape = shapeOf(event);
    const number = shapes.get(shape) ?? shapes.size;
    shapes.set(shape, number);
    // The parts of an id that are random throughout: 80 bits.
    return [eventId, number, id.slice(0, 8) + id.slice(24)];
  });
  return { rows: JSON.stringify(rows), shapes: `[${[...shapes.keys()].join(",")}]` };
}

function shapeOf(event: Event): string {
  const day = event.timestamp.slice(0, 10);
  return JSON.stringify([day, event.event, event.version, EVENT_BITS[event.event], wordsOf(event)]);
}

/** Each word of the metadata under its field's name, and the three words beside it. Of targets the number counts. */
function wordsOf(event: Event): [string, string, number][] {
  const words: [string, string, number][] = [
    [EVENTS, event.event, 1],
    ["platform", event.platform, 1],
  ];
  if (event.python_version !== null) words.push(["python_version", event.python_version, 1]);
  for (const [field, value] of Object.entries(event.metadata)) {
    if (typeof value === "string") {
      words.push([field, value, 1]);
    } else if (Array.isArray(value)) {
      for (const word of value as string[]) words.push([field, word, 1]);
    } else if (typeof value === "object" && value !== null) {
      for (const [word, n] of Object.entries(value as Record<string, number>)) {
        if (n > 0) words.push([field, word, n]);
      }
    }
  }
  return words;
}
