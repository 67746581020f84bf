// What the service answers with. Whatever is wrong is said with a word of this list; nothing of a request is repeated.

const STATUS = {
  bad_gzip: 400,
  bad_id: 400,
  bad_key: 400,
  bad_query: 400,
  bad_utf8: 400,
  empty: 400,
  unauthorized: 401,
  not_found: 404,
  method_not_allowed: 405,
  closed: 410,
  too_large: 413,
  too_many_lines: 413,
  unsupported_type: 415,
  unsupported_encoding: 415,
  too_many_requests: 429,
  day_is_full: 503,
  unavailable: 503,
} as const;

export type Word = keyof typeof STATUS;

/** Thrown wherever a request goes no further. */
export class Refusal extends Error {
  constructor(
    readonly word: Word,
    readonly headers: Record<string, string> = {},
  ) {
    super(word);
  }

  answer(): Response {
    return json({ error: this.word }, STATUS[this.word], this.headers);
  }
}

export const SAFE = {
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
};

export function json(
  content: unknown,
  status = 200,
  headers: Record<string, string> = {},
): Response {
  const all = {
    ...SAFE,
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    ...headers,
  };
  return new Response(JSON.stringify(content) + "\n", { status, headers: all });
}

/** An answer that a client may keep and ask for again by its ETag; `make` runs only when it is needed. */
export async function tagged(
  request: Request,
  tag: string,
  headers: Record<string, string | undefined>,
  make: () => string | Promise<string>,
): Promise<Response> {
  const all = { ...SAFE, "Cache-Control": "private, no-cache", ETag: `"${tag}"`, ...headers };
  if (knows(request.headers.get("If-None-Match"), tag)) {
    return new Response(null, { status: 304, headers: all });
  }
  return new Response(await make(), { headers: all });
}

function knows(header: string | null, tag: string): boolean {
  if (header === null) return false;
  const known = header.split(",").map((text) => text.trim().replace(/^W\//, ""));
  return known.includes(`"${tag}"`) || known.includes("*");
}

export async function sha256(content: Uint8Array | string): Promise<string> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
