// What the tables hold that numbers are made of.

/** What came on a day with an event of a version: how often each word, by its field. */
export interface Part {
  day: string;
  event: string;
  version: string;
  counts: [field: string, word: string, n: number][];
}

/** Which events an id sent on a day with a version, one bit each. */
export interface Visit {
  day: string;
  version: string;
  id: string;
  events: number;
}
