// The seam between what is collected and where it is kept. README.md, "Growth", says what can stand behind it.

/** What became of a batch of valid lines, each with its own event_id. */
export type Kept =
  | { full: false; accepted: number; duplicates: number }
  /** The limit of a day is reached; nothing was kept. */
  | { full: true };

export interface Sink {
  /** Keeps the lines that are new, and counts them, in one step: all of it happens, or none. */
  keep(lines: string[], now: number): Promise<Kept>;
  /** Deletes what carries this id, and says how many events those were. */
  forget(anonymousId: string): Promise<number>;
  /** Deletes raw events that are older than their time. */
  expire(now: number): Promise<void>;
}
