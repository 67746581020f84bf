// Makes generated/: the validator, compiled from schema/event.json, and the page, put together from the files of which
// the program makes `view --html`. Run before everything else; it takes a fraction of a second.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";

import Ajv from "ajv/dist/2020.js";
import standaloneCode from "ajv/dist/standalone/index.js";
import { buildSync } from "esbuild";

const here = (path) => new URL(path, import.meta.url);
const read = (path) => readFileSync(here(path), "utf8");

/** Where the program keeps the page's files. */
const PAGE = "../src/view/page/";

export function build() {
  mkdirSync(here("generated/"), { recursive: true });
  write("validate.js", validator());
  write(
    "validate.d.ts",
    'import type { Event } from "../src/sink";\nexport function isEvent(value: unknown): value is Event;\n',
  );
  write("schema.js", `export const SCHEMA = ${JSON.stringify(read("schema/event.json"))};\n`);
  write("schema.d.ts", "export const SCHEMA: string;\n");
  const { page, policy } = makePage();
  write(
    "page.js",
    `export const POLICY = ${JSON.stringify(policy)};\nexport const PAGE = ${JSON.stringify(page)};\n`,
  );
  write("page.d.ts", "export const POLICY: string;\nexport const PAGE: string;\n");
}

/** In one step, since another build may run beside this one. */
function write(name, content) {
  const temporary = here(`generated/${name}.${process.pid}`);
  writeFileSync(temporary, content);
  renameSync(temporary, here(`generated/${name}`));
}

function validator() {
  const ajv = new Ajv({
    strict: true,
    strictRequired: false,
    allowUnionTypes: true,
    code: { source: true, esm: true, lines: true },
  });
  ajv.addSchema(JSON.parse(read("schema/event.json")), "event");
  // Bundled, since the code asks for two small pieces of ajv in a way that no ES module can.
  const contents = standaloneCode(ajv, { isEvent: "event" });
  const stdin = { contents, resolveDir: here(".").pathname, sourcefile: "validate.js" };
  return buildSync({ stdin, bundle: true, format: "esm", target: "es2022", write: false })
    .outputFiles[0].text;
}

/** The same as src/view/page/mod.rs does, with a script more and no data. */
function makePage() {
  const style = read(`${PAGE}page.css`) + read("page/live.css");
  const charts = read(`${PAGE}chart.umd.min.js`);
  const script = read(`${PAGE}page.js`);
  const live = read("page/live.js");
  const scripts = [charts, script, live].map(hash).join(" ");
  const policy =
    `default-src 'none'; script-src ${scripts}; style-src ${hash(style)}; img-src data:; connect-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  const inMeta = policy.replace("; frame-ancestors 'none'", "");
  const parts = {
    "{{policy}}": inMeta,
    "{{style}}": style,
    "{{data}}": "null",
    "{{charts}}": charts,
    "{{script}}": `${script}</script>\n<script>${live}`,
  };
  let page = "";
  let rest = read(`${PAGE}page.html`);
  for (const [place, content] of Object.entries(parts)) {
    const at = rest.indexOf(place);
    if (at === -1) throw new Error(`page.html has no ${place}`);
    page += rest.slice(0, at) + content;
    rest = rest.slice(at + place.length);
  }
  return { page: page + rest, policy };
}

function hash(text) {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) build();
