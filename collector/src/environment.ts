// What the service is given: bindings, and settings as the text that an operator wrote.

import { MAX_EVENTS_A_DAY, RETENTION_DAYS } from "./limits";

export interface Environment {
  DB: D1Database;
  RATE_LIMITER: RateLimit;
  /** The maintainer's token. Without one, nobody reads. */
  STATS_TOKEN?: string;
  RETENTION_DAYS?: string;
  MAX_EVENTS_A_DAY?: string;
  /** Where the service does not have a host of its own: the path before its own paths, such as `/telemetry`. */
  BASE_PATH?: string;
  /** `1`: events are no longer collected, and clients are told so. */
  CLOSED?: string;
}

export interface Settings {
  retentionDays: number;
  maxEventsADay: number;
  closed: boolean;
}

/** Throws where a number is none: a service that guesses would delete too much, or cost too much. */
export function settings(env: Environment): Settings {
  return {
    retentionDays: whole("RETENTION_DAYS", env.RETENTION_DAYS, RETENTION_DAYS),
    maxEventsADay: whole("MAX_EVENTS_A_DAY", env.MAX_EVENTS_A_DAY, MAX_EVENTS_A_DAY),
    closed: env.CLOSED === "1",
  };
}

function whole(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined || text === "") return otherwise;
  if (!/^[0-9]{1,12}$/.test(text)) throw new Error(`${name} must be a whole number`);
  return Number(text);
}
