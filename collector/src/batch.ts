// The body of a request to collect: from the bytes on the wire to its lines, with an end to each step.

import { gunzipSync } from "node:zlib";

import { Refusal } from "./answers";
import { BATCH_LINES, BODY_BYTES, WIRE_BYTES } from "./limits";

export interface Batch {
  key: string;
  body: Uint8Array;
  lines: string[];
}

export async function readBatch(request: Request): Promise<Batch> {
  if (mediaType(request) !== "application/x-ndjson") throw new Refusal("unsupported_type");
  if (request.headers.get("Content-Encoding")?.toLowerCase() !== "gzip") {
    throw new Refusal("unsupported_encoding");
  }
  // The name of a segment; it is only ever given back.
  const key = request.headers.get("Idempotency-Key") ?? "";
  if (!/^[A-Za-z0-9._-]{1,128}$/.test(key)) throw new Refusal("bad_key");
  const body = unpack(await readAtMost(request, WIRE_BYTES));
  return { key, body, lines: linesOf(body) };
}

export function mediaType(request: Request): string {
  return (request.headers.get("Content-Type") ?? "").split(";", 1)[0].trim().toLowerCase();
}

/** The whole body, or a refusal as soon as it is too long; a stated length is believed only where it is too long. */
export async function readAtMost(request: Request, most: number): Promise<Uint8Array> {
  if (Number(request.headers.get("Content-Length") ?? 0) > most) throw new Refusal("too_large");
  if (request.body === null) throw new Refusal("empty");
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    length += chunk.byteLength;
    if (length > most) throw new Refusal("too_large");
    chunks.push(chunk);
  }
  if (length === 0) throw new Refusal("empty");
  return concatenated(chunks, length);
}

function concatenated(chunks: Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

function unpack(packed: Uint8Array): Uint8Array {
  try {
    return gunzipSync(packed, { maxOutputLength: BODY_BYTES });
  } catch (error) {
    // workerd's zlib stops at the limit with a RangeError; whatever else it throws is about the bytes.
    throw new Refusal(error instanceof RangeError ? "too_large" : "bad_gzip");
  }
}

function linesOf(body: Uint8Array): string[] {
  if (body.byteLength === 0) throw new Refusal("empty");
  let text: string;
  try {
    // A byte order mark is not taken off: it is no part of a line that we write.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new Refusal("bad_utf8");
  }
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  if (lines.length > BATCH_LINES) throw new Refusal("too_many_lines");
  return lines;
}
