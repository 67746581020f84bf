// What is sent to the service: batches of events, and requests to forget.

import { json, Refusal, sha256 } from "./answers";
import { mediaType, readAtMost, readBatch } from "./batch";
import type { Settings } from "./environment";
import { judge, type Reason } from "./judge";
import { FORGET_BYTES } from "./limits";
import type { Sink, Valid } from "./sink";

interface Rejected {
  line: number;
  event_id: string | null;
  reason: Reason;
}

export async function collect(
  request: Request,
  sink: Sink,
  settings: Settings,
  now: number,
): Promise<Response> {
  if (settings.closed) throw new Refusal("closed");
  const { key, body, lines } = await readBatch(request);
  const valid = new Map<string, Valid>();
  const rejected: Rejected[] = [];
  let repeated = 0;
  lines.forEach((line, at) => {
    const verdict = judge(line, now, settings.retentionDays);
    if (verdict.reason !== null) {
      rejected.push({ line: at + 1, event_id: verdict.event_id, reason: verdict.reason });
      return;
    }
    const { event } = verdict;
    if (valid.has(event.event_id)) repeated += 1;
    else valid.set(event.event_id, { line, event });
  });
  const kept = await sink.keep([...valid.values()], now);
  if (kept.full) throw new Refusal("day_is_full", { "Retry-After": String(untilMidnight(now)) });
  return json({
    batch: key,
    sha256: await sha256(body),
    accepted: kept.accepted,
    duplicates: kept.duplicates + repeated,
    rejected,
  });
}

/** In seconds: the limit is one of UTC days. */
function untilMidnight(now: number): number {
  return Math.ceil((86_400_000 - (now % 86_400_000)) / 1000);
}

export async function forget(request: Request, sink: Sink): Promise<Response> {
  if (mediaType(request) !== "application/json") throw new Refusal("unsupported_type");
  const text = new TextDecoder().decode(await readAtMost(request, FORGET_BYTES));
  return json({ forgotten: await sink.forget(idIn(text)) });
}

const ANONYMOUS_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function idIn(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal("bad_id");
  }
  if (typeof value !== "object" || value === null) throw new Refusal("bad_id");
  const entries = Object.entries(value);
  const [name, id] = (entries[0] ?? []) as [string?, unknown?];
  const isOne = entries.length === 1 && name === "anonymous_id" && typeof id === "string";
  if (!isOne || !ANONYMOUS_ID.test(id)) throw new Refusal("bad_id");
  return id;
}
