// The least that a Worker can do with a batch: unpack it and insert its lines. What ours does beside that (to judge each
// line, to count, to answer line by line) is measured against it.

import { gunzipSync } from "node:zlib";

const INSERT = `INSERT INTO events (event_id, anonymous_id, line)
  SELECT value ->> 'event_id', value ->> 'anonymous_id', value FROM json_each(?1) WHERE true
  ON CONFLICT (event_id) DO NOTHING`;

export default {
  async fetch(request, env) {
    const text = gunzipSync(await request.arrayBuffer()).toString();
    const lines = `[${text.trimEnd().replaceAll("\n", ",")}]`;
    const { meta } = await env.DB.prepare(INSERT).bind(lines).run();
    return Response.json({ accepted: meta.changes });
  },
};
