// The seam between what is collected and where it is kept. README.md, "Growth", says what can stand behind it.

/** An event as the schema has it. */
export interface Event {
  event: string;
  version: string;
  platform: string;
  python_version: string | null;
  anonymous_id: string;
  timestamp: string;
  metadata: Record<string, unknown>;
  event_id: string;
}

/** A line that was judged, and what it says. */
export interface Valid {
  line: string;
  event: Event;
}

/** What became of a batch of valid events, each with its own event_id. */
export type Kept =
  | { full: false; accepted: number; duplicates: number }
  /** The limit of a day is reached; nothing was kept. */
  | { full: true };

export interface Sink {
  /** Keeps the events that are new, and counts them, in one step: all of it happens, or none. */
  keep(events: Valid[], now: number): Promise<Kept>;
  /** Deletes what carries this id, and says how many events those were. */
  forget(anonymousId: string): Promise<number>;
  /** Deletes raw events that are older than their time. */
  expire(now: number): Promise<void>;
}
