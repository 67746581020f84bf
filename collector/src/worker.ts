// The collector: which request goes where, and what becomes of trouble. Nothing of a request is logged.

import { POLICY, PAGE } from "../generated/page.js";
import { SCHEMA } from "../generated/schema.js";
import { json, Refusal } from "./answers";
import { collect, forget } from "./collect";
import { D1Sink } from "./d1_sink";
import { type Environment, settings } from "./environment";
import { RATE_WAIT_SECONDS, TROUBLE_WAIT_SECONDS } from "./limits";
import { totals } from "./numbers";
import { authorize, cube, events, fixed, stats } from "./read";

type Handler = (request: Request, env: Environment, now: number) => Promise<Response>;

const POSTS: Record<string, Handler> = {
  "/v1/events": async (request, env, now) => {
    await limitRate(request, env);
    return collect(request, sinkOf(env), settings(env), now);
  },
  "/v1/forget": async (request, env) => {
    await limitRate(request, env);
    return forget(request, sinkOf(env));
  },
};

const GETS: Record<string, Handler> = {
  "/": (request) =>
    fixed(request, "text/html; charset=utf-8", PAGE, { "Content-Security-Policy": POLICY }),
  "/healthz": async (_, env) => {
    await totals(env.DB);
    return json({ status: "ok" });
  },
  "/v1/schema": (request) => fixed(request, "application/schema+json", SCHEMA),
  "/v1/stats": forTheMaintainer(stats),
  "/v1/cube": forTheMaintainer(cube),
  "/v1/events": forTheMaintainer(events),
};

export default {
  async fetch(request, env): Promise<Response> {
    try {
      return await route(request, env)(request, env, Date.now());
    } catch (error) {
      return answerTo(error);
    }
  },

  async scheduled(_, env): Promise<void> {
    await sinkOf(env).expire(Date.now());
  },
} satisfies ExportedHandler<Environment>;

function route(request: Request, env: Environment): Handler {
  const { pathname: whole } = new URL(request.url);
  const base = env.BASE_PATH ?? "";
  if (!whole.startsWith(base)) throw new Refusal("not_found");
  const pathname = whole.slice(base.length);
  const isGet = request.method === "GET" || request.method === "HEAD";
  const table = isGet ? GETS : request.method === "POST" ? POSTS : {};
  if (Object.hasOwn(table, pathname)) return table[pathname];
  const allowed = [
    ...(Object.hasOwn(GETS, pathname) ? ["GET", "HEAD"] : []),
    ...(Object.hasOwn(POSTS, pathname) ? ["POST"] : []),
  ];
  if (allowed.length === 0) throw new Refusal("not_found");
  throw new Refusal("method_not_allowed", { Allow: allowed.join(", ") });
}

/** An error that is no refusal is the database's trouble or our own mistake; neither may look like a success. */
function answerTo(error: unknown): Response {
  if (error instanceof Refusal) return error.answer();
  return new Refusal("unavailable", { "Retry-After": String(TROUBLE_WAIT_SECONDS) }).answer();
}

/** The address serves for this alone; where there is none, all share one key. */
async function limitRate(request: Request, env: Environment): Promise<void> {
  const key = request.headers.get("CF-Connecting-IP") ?? "unknown";
  const { success } = await env.RATE_LIMITER.limit({ key });
  if (!success)
    throw new Refusal("too_many_requests", { "Retry-After": String(RATE_WAIT_SECONDS) });
}

function forTheMaintainer(handler: Handler): Handler {
  return async (request, env, now) => {
    await authorize(request, env);
    return handler(request, env, now);
  };
}

function sinkOf(env: Environment): D1Sink {
  return new D1Sink(env.DB, settings(env));
}
