// What the maintainer reads with the token, and the page that shows it.

import { timingSafeEqual } from "node:crypto";

import { Refusal, SAFE, sha256, tagged } from "./answers";
import { dayOf } from "./d1_sink";
import type { Environment } from "./environment";
import { boundOf } from "./judge";
import { PAGE_LINES } from "./limits";
import { pageData, type Period, statistics, totals } from "./numbers";

/** Compares hashes, so that neither the time nor the length tells anything of the token. */
export async function authorize(request: Request, env: Environment): Promise<void> {
  const given = /^Bearer +(.+)$/i.exec(request.headers.get("Authorization") ?? "")?.[1] ?? "";
  const expected = env.STATS_TOKEN ?? "";
  const [one, other] = [await sha256(given.trim()), await sha256(expected)].map((hash) =>
    new TextEncoder().encode(hash),
  );
  if (!timingSafeEqual(one, other) || expected === "") {
    throw new Refusal("unauthorized", { "WWW-Authenticate": "Bearer" });
  }
}

export async function stats(request: Request, env: Environment): Promise<Response> {
  const period = periodOf(new URL(request.url));
  const { nonce, revision } = await totals(env.DB);
  const tag = `${nonce}-${String(revision)}-${period.since ?? ""}-${period.until ?? ""}`;
  return tagged(request, tag, { "Content-Type": "application/json" }, async () => {
    return JSON.stringify(await statistics(env.DB, period)) + "\n";
  });
}

export async function cube(request: Request, env: Environment, now: number): Promise<Response> {
  const { nonce, revision } = await totals(env.DB);
  // The page takes "today" from here, so that a new day is news.
  const tag = `${nonce}-${String(revision)}-${dayOf(now)}`;
  const source = new URL("..", request.url).href;
  return tagged(request, tag, { "Content-Type": "application/json" }, async () => {
    const made = new Date(now).toISOString();
    return JSON.stringify({ source, made, notes: [], ...(await pageData(env.DB)) }) + "\n";
  });
}

/** One page of raw events in order of event_id. Its tag follows from its content: old pages stay the same. */
export async function events(request: Request, env: Environment): Promise<Response> {
  const url = new URL(request.url);
  const period = periodOf(url);
  const limit = limitOf(url);
  const since = period.since === null ? "" : boundOf(Date.parse(period.since));
  const after = afterOf(url);
  // One lower bound: of two, SQLite would begin at the first and read all rows up to the other.
  const from = after > since ? after : since;
  const end = period.until === null ? "g" : boundOf(Date.parse(period.until) + 86_400_000);
  const { results } = await env.DB.prepare(
    `SELECT event_id, line FROM events
     WHERE event_id > ?1 AND event_id < ?2 AND line IS NOT NULL
     ORDER BY event_id LIMIT ?3`,
  )
    .bind(from, end, limit + 1)
    .all<{ event_id: string; line: string }>();
  const shown = results.slice(0, limit);
  const body = shown.map(({ line }) => line + "\n").join("");
  const headers: { "Content-Type": string; Link?: string } = {
    "Content-Type": "application/x-ndjson",
  };
  const last = shown.at(-1);
  if (results.length > limit && last !== undefined) {
    const next = new URL(url);
    next.searchParams.set("after", last.event_id);
    headers.Link = `<${next.pathname}${next.search}>; rel="next"`;
  }
  return tagged(request, await sha256((headers.Link ?? "") + "\n" + body), headers, () => body);
}

function periodOf(url: URL): Period {
  return { since: dayIn(url, "since"), until: dayIn(url, "until") };
}

function dayIn(url: URL, name: string): string | null {
  const text = url.searchParams.get(name);
  if (text === null) return null;
  const time = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time) || dayOf(time) !== text) throw new Refusal("bad_query");
  return text;
}

function afterOf(url: URL): string {
  const text = url.searchParams.get("after") ?? "";
  if (text !== "" && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) {
    throw new Refusal("bad_query");
  }
  return text;
}

function limitOf(url: URL): number {
  const text = url.searchParams.get("limit");
  if (text === null) return PAGE_LINES;
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new Refusal("bad_query");
  return Math.min(Number(text), PAGE_LINES);
}

/** Something that is the same for everybody until the next deployment. */
export async function fixed(
  request: Request,
  type: string,
  content: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  const all = { ...SAFE, "Content-Type": type, "Cache-Control": "no-cache", ...headers };
  return tagged(request, await sha256(content), all, () => content);
}
