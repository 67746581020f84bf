// What makes the page of `view --html` the live page of a collector: it asks for the maintainer's token once, keeps it
// for this tab alone, and hands the service's numbers to the page every 5 s while somebody can see them.
"use strict";
(() => {
  const EVERY = 5000;
  const KEPT = "jmo-telemetry-token";
  const main = document.querySelector("main");
  const make = (tag, props, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };

  const field = make("input", {
    id: "token",
    type: "password",
    autocomplete: "off",
    required: true,
  });
  const form = make(
    "form",
    { id: "unlock", hidden: true },
    make("label", {}, "The maintainer's token ", field),
    make("button", { type: "submit", textContent: "Show" }),
  );
  const line = make("p", { id: "live" });
  line.setAttribute("role", "status");
  document.querySelector("header").append(form, line);
  main.hidden = true;

  let token = sessionStorage.getItem(KEPT);
  let tag = null;
  let refreshed = null;
  let timer = 0;
  let asking = false;

  const clock = () => refreshed.toLocaleTimeString("en-GB");

  function say(text, trouble) {
    line.classList.toggle("trouble", trouble);
    // A screen reader says what changes; a time that changes every 5 s is not worth it.
    line.setAttribute("aria-live", trouble ? "polite" : "off");
    line.textContent = text;
  }

  function askForToken(why) {
    sessionStorage.removeItem(KEPT);
    token = null;
    form.hidden = false;
    say(why, why !== "");
    field.value = "";
    field.focus();
  }

  async function refresh() {
    if (asking || token === null || document.hidden) return;
    clearTimeout(timer);
    asking = true;
    try {
      await ask();
    } catch {
      const since = refreshed === null ? "" : ` These numbers are of ${clock()}.`;
      say(`The service does not answer; trying again.${since}`, true);
    } finally {
      asking = false;
    }
    if (token !== null) timer = setTimeout(refresh, EVERY);
  }

  async function ask() {
    const headers = { Authorization: `Bearer ${token}` };
    if (tag !== null) headers["If-None-Match"] = tag;
    const answer = await fetch("./v1/cube", { headers, cache: "no-store", redirect: "error" });
    if (answer.status === 401) {
      askForToken("The service does not know this token.");
      return;
    }
    if (answer.status !== 304 && !answer.ok) throw new Error(String(answer.status));
    if (answer.status === 200) {
      const data = await answer.json();
      tag = answer.headers.get("ETag");
      main.hidden = false;
      window.showTelemetry(data);
    }
    sessionStorage.setItem(KEPT, token);
    form.hidden = true;
    refreshed = new Date();
    say(
      `Live: refreshed at ${clock()}, every ${EVERY / 1000} s while this page is visible.`,
      false,
    );
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    token = field.value.trim();
    // A header takes nothing else, and no token has it.
    if (!/^[!-~]+$/.test(token)) askForToken("The service does not know this token.");
    else refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  if (token === null) askForToken("");
  else refresh();
})();
