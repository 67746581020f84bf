// Whether a line is an event. Pure: the time comes as an argument, and fixtures/ has the lines that this judge and the
// program's own agree on.

import { isEvent } from "../generated/validate.js";
import { AHEAD_MS, LINE_BYTES } from "./limits";
import type { Event } from "./sink";

export type Reason = "not_json" | "schema" | "too_old" | "too_new" | "too_large";

export type Verdict =
  | { event: Event; reason: null }
  /** Its event_id, where it has one. */
  | { event_id: string | null; reason: Reason };

const EVENT_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function judge(line: string, now: number, retentionDays: number): Verdict {
  if (isLong(line)) return { event_id: null, reason: "too_large" };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { event_id: null, reason: "not_json" };
  }
  // The validator goes first: what passes it is flat and small, so that writing it again is safe.
  if (!isEvent(value)) return { event_id: idOf(value), reason: "schema" };
  const at = millisecondOf(value.event_id);
  // `5.0`, a repeated key or a blank are no longer there once JSON.parse has read them.
  const isCanonical = JSON.stringify(value) === line;
  if (!isCanonical || value.timestamp !== new Date(at).toISOString()) {
    return { event_id: value.event_id, reason: "schema" };
  }
  if (at < now - retentionDays * 86_400_000) return { event_id: value.event_id, reason: "too_old" };
  if (at > now + AHEAD_MS) return { event_id: value.event_id, reason: "too_new" };
  return { event: value, reason: null };
}

function isLong(line: string): boolean {
  if (line.length > LINE_BYTES) return true;
  // A character takes at most three bytes for each unit of its length.
  return line.length * 3 > LINE_BYTES && new TextEncoder().encode(line).length > LINE_BYTES;
}

function idOf(value: unknown): string | null {
  if (typeof value !== "object" || value === null || !("event_id" in value)) return null;
  const id = value.event_id;
  return typeof id === "string" && EVENT_ID.test(id) ? id : null;
}

/** The time that a UUID of version 7 begins with. */
function millisecondOf(id: string): number {
  return parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** A bound for comparisons: it sorts before every id of this time, and after every id of an earlier one. */
export function boundOf(time: number): string {
  const hex = Math.max(0, time).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}
