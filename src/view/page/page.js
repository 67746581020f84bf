// The page of `jmo-telemetry view --html`, and of a collector: filters over counts by day, event and version, and the
// charts and tables that show them. The filters are kept in the address
// (#period=30&event=scan.started&version=1.0.2), so that a view can be shared, and opened by a test.
"use strict";
(() => {
  // The data that is shown; `receive` sets it. It is embedded in the page or, if that is null, a script of the
  // collector delivers it repeatedly.
  let data = null;
  let cube = null;
  let summary = null;
  const byId = (id) => document.getElementById(id);
  const number = new Intl.NumberFormat("en");
  const DAY = 86400000;
  const dayOf = (text) => Date.parse(text + "T00:00:00Z");
  const textOf = (time) => new Date(time).toISOString().slice(0, 10);

  // One card for each dimension of the data, after the one over time. `receive` creates the list.
  let cards = [];
  const MOST_BARS = 14;
  const MOST_SERIES = 7;

  /* ---- filters ---- */

  const control = { period: byId("period"), from: byId("from"), to: byId("to"), event: byId("event"), version: byId("version") };

  function fillChoices() {
    const natural = new Intl.Collator("en", { numeric: true }).compare;
    offer(control.event, cube.events.slice().sort());
    offer(control.version, cube.versions.slice().sort(natural).reverse());
    if (cube.days.length > 0) {
      for (const input of [control.from, control.to]) {
        input.min = cube.days[0];
        input.max = cube.days[cube.days.length - 1];
      }
    }
  }

  // The choices of a list after its first, which is "all". The selection is kept, and a list that has not changed is
  // not touched, because the user may have it open.
  function offer(select, names) {
    const offered = [...select.options].slice(1).map((option) => option.value);
    if (offered.join("\n") === names.join("\n")) return;
    const chosen = select.value;
    select.length = 1;
    for (const name of names) select.add(new Option(name, name));
    select.value = names.includes(chosen) ? chosen : "";
  }

  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const name of Object.keys(control)) {
      control[name].value = given.get(name) ?? "";
      if (control[name].selectedIndex === -1) control[name].value = "";
    }
    if (control.from.value || control.to.value) control.period.value = "custom";
  }

  function writeAddress() {
    const kept = new URLSearchParams();
    for (const name of ["event", "version"]) if (control[name].value) kept.set(name, control[name].value);
    if (control.period.value === "custom") {
      for (const name of ["from", "to"]) if (control[name].value) kept.set(name, control[name].value);
    } else if (control.period.value) {
      kept.set("period", control.period.value);
    }
    const hash = kept.toString();
    history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  }

  // The first and the last selected day; null for an open end.
  function asked() {
    if (control.period.value === "custom") {
      return { from: control.from.value || null, to: control.to.value || null };
    }
    const days = Number(control.period.value);
    if (!days) return { from: null, to: null };
    const today = dayOf(data.made.slice(0, 10));
    return { from: textOf(today - (days - 1) * DAY), to: null };
  }

  /* ---- counting ---- */

  function count() {
    const { from, to } = asked();
    const event = cube.events.indexOf(control.event.value);
    const version = cube.versions.indexOf(control.version.value);
    const inPeriod = cube.days.map((day) => (from === null || day >= from) && (to === null || day <= to));
    // An event without a day is only in the period "all time".
    const keeps = (day) => (day < 0 ? from === null && to === null : inPeriod[day]);
    const found = { events: 0, ids: null, scans: 0, failures: 0, perDay: new Map(), lists: new Map(cube.dimensions.map(({ name }) => [name, new Map()])) };
    const add = (list, word, by) => {
      const counts = found.lists.get(list);
      counts.set(word, (counts.get(word) || 0) + by);
    };
    for (const [day, name, of, n, details] of cube.groups) {
      if (!keeps(day) || (event >= 0 && name !== event) || (version >= 0 && of !== version)) continue;
      found.events += n;
      if (cube.events[name] === "scan.started") found.scans += n;
      if (cube.events[name] === "tool.failed") found.failures += n;
      add("by_event", cube.events[name], n);
      add("by_version", cube.versions[of], n);
      if (day >= 0) {
        const key = cube.days[day];
        if (!found.perDay.has(key)) found.perDay.set(key, new Map());
        const counts = found.perDay.get(key);
        counts.set(name, (counts.get(name) || 0) + n);
      }
      for (let at = 0; at < details.length; at += 2) {
        const [dimension, word] = cube.words[details[at]];
        add(dimension, word, details[at + 1]);
      }
    }
    const unfiltered = from === null && to === null && event < 0 && version < 0;
    if (unfiltered) {
      found.ids = summary.unique_ids;
    } else if (cube.visits && (!cube.visits_from || (from !== null && from >= cube.visits_from))) {
      const ids = new Set();
      const wanted = event < 0 ? -1 : 1 << event;
      for (const [day, of, pairs] of cube.visits) {
        if (!keeps(day) || (version >= 0 && of !== version)) continue;
        let id = 0;
        for (let at = 0; at < pairs.length; at += 2) {
          id += pairs[at];
          if ((pairs[at + 1] & wanted) !== 0) ids.add(id);
        }
      }
      found.ids = ids.size;
    }
    return found;
  }

  // Words with their counts, in the order in which they are shown.
  function sorted(counts, order) {
    const rows = [...counts];
    if (Array.isArray(order)) {
      const place = (word) => (order.includes(word) ? order.indexOf(word) : order.length);
      return rows.sort((a, b) => place(a[0]) - place(b[0]));
    }
    if (order === "natural") {
      const compare = new Intl.Collator("en", { numeric: true }).compare;
      return rows.sort((a, b) => compare(a[0], b[0]));
    }
    return rows.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  }

  // The first few rows; the others as one.
  function firstFew(rows, most) {
    if (rows.length <= most) return rows;
    const others = rows.slice(most - 1);
    return [...rows.slice(0, most - 1), [`${others.length} others`, others.reduce((sum, row) => sum + row[1], 0)]];
  }

  // The days to draw. A machine with a wrong clock must not stretch the chart to a decade. So unless they are
  // selected, days after tomorrow are left out, and days more than a year before all others if they have less than a
  // hundredth of the events.
  function drawnDays(perDay) {
    const { from, to } = asked();
    const tomorrow = textOf(dayOf(data.made.slice(0, 10)) + DAY);
    const days = [...perDay.keys()].sort().filter((day) => to !== null || day <= tomorrow);
    const all = days.reduce((sum, day) => sum + total(perDay.get(day)), 0);
    let start = 0;
    let before = 0;
    for (let at = 1; from === null && at < days.length; at += 1) {
      before += total(perDay.get(days[at - 1]));
      if (before * 100 >= all) break;
      if (dayOf(days[at]) - dayOf(days[at - 1]) > 366 * DAY) start = at;
    }
    return days.slice(start);
  }

  const total = (counts) => [...counts.values()].reduce((sum, n) => sum + n, 0);

  // Consecutive days, weeks or months, with the events of each, because a chart with 2,000 columns would be useless.
  function timeline(perDay) {
    const days = drawnDays(perDay);
    if (days.length === 0) return { unit: "day", steps: [] };
    const span = (dayOf(days[days.length - 1]) - dayOf(days[0])) / DAY + 1;
    const unit = span <= 184 ? "day" : span <= 730 ? "week" : "month";
    const start = (day) => {
      if (unit === "day") return day;
      if (unit === "month") return day.slice(0, 7);
      const time = dayOf(day);
      return textOf(time - ((new Date(time).getUTCDay() + 6) % 7) * DAY);
    };
    const steps = new Map();
    // Empty steps are drawn, too, but not for centuries caused by a wrong clock.
    if (span <= 36525) {
      for (let time = dayOf(days[0]); time <= dayOf(days[days.length - 1]); time += DAY) steps.set(start(textOf(time)), new Map());
    }
    for (const day of days) {
      const key = start(day);
      if (!steps.has(key)) steps.set(key, new Map());
      const counts = steps.get(key);
      for (const [name, n] of perDay.get(day)) counts.set(name, (counts.get(name) || 0) + n);
    }
    return { unit, steps: [...steps] };
  }

  /* ---- cards ---- */

  const make = (tag, props = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };

  function buildCards() {
    cards = [{ name: "time", title: "Events over time", chart: "time" }, ...cube.dimensions].map((shown) => ({ ...shown }));
    for (const card of cards) {
      const heading = make("h2", { id: "h-" + card.name, textContent: card.title });
      card.heading = heading;
      card.canvas = make("canvas", { id: "c-" + card.name });
      card.canvas.setAttribute("role", "img");
      card.more = make("p", { className: "more" });
      card.table = make("table", { id: "t-" + card.name });
      card.section = make("section", { className: card.chart === "time" ? "card wide" : "card" },
        heading,
        make("div", { className: "plot" }, card.canvas),
        card.more,
        make("p", { className: "none", textContent: "Nothing here for these filters." }),
        make("details", {},
          make("summary", { textContent: "Table: " + card.title.toLowerCase() }),
          make("div", { className: "scroll", tabIndex: 0 }, card.table)));
      card.section.setAttribute("aria-labelledby", heading.id);
      card.table.setAttribute("aria-labelledby", heading.id);
      card.table.parentNode.setAttribute("role", "region");
      card.table.parentNode.setAttribute("aria-labelledby", heading.id);
      byId("cards").append(card.section);
    }
  }

  function fillTable(card, head, rows) {
    const cells = head.map((text) => {
      const cell = make("th", { textContent: text });
      cell.scope = "col";
      return cell;
    });
    const body = rows.map(([name, ...values]) => {
      const cell = make("th", { textContent: name });
      cell.scope = "row";
      return make("tr", {}, cell, ...values.map((value) => make("td", { textContent: value })));
    });
    card.table.replaceChildren(make("thead", {}, make("tr", {}, ...cells)), make("tbody", {}, ...body));
  }

  /* ---- charts ---- */

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const hue = (index) => color("c" + ((index % 8) + 1));

  const dark = matchMedia("(prefers-color-scheme: dark)");

  function applyTheme() {
    Chart.defaults.color = color("faint");
    Chart.defaults.borderColor = color("line");
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    // No animation, so that numbers are correct at once, even in a screenshot.
    Chart.defaults.animation = false;
    Chart.defaults.maintainAspectRatio = false;
  }

  const axis = (extra = {}) => ({ beginAtZero: true, ticks: { precision: 0, maxTicksLimit: 6, callback: (n) => number.format(n) }, ...extra });
  const words = { ticks: { autoSkip: false }, grid: { display: false } };

  function draw(card, found) {
    if (card.drawn) card.drawn.destroy();
    card.drawn = null;
    const { rows, config } = card.chart === "time" ? overTime(card, found) : listed(card, found);
    card.section.classList.toggle("empty", rows === 0);
    if (rows > 0) card.drawn = new Chart(card.canvas, config);
  }

  function overTime(card, found) {
    const { unit, steps } = timeline(found.perDay);
    const ranked = sorted(found.lists.get("by_event"), "count").map(([name]) => name);
    const shown = ranked.length > MOST_SERIES ? ranked.slice(0, MOST_SERIES - 1) : ranked;
    const rest = ranked.slice(shown.length);
    const value = (counts, names) => names.reduce((sum, name) => sum + (counts.get(cube.events.indexOf(name)) || 0), 0);
    const series = shown.map((name) => [name, [name]]);
    if (rest.length > 0) series.push([`${rest.length} others`, rest]);
    const datasets = series.map(([label, names], index) => ({
      label, data: steps.map(([, counts]) => value(counts, names)), backgroundColor: hue(index), borderWidth: 0, maxBarThickness: 40,
    }));
    const far = [...found.perDay.values()].reduce((sum, counts) => sum + total(counts), 0) - steps.reduce((sum, step) => sum + total(step[1]), 0);
    card.more.textContent = far > 0 ? `${number.format(far)} not drawn: dated in the future or years ago` : "";
    card.heading.textContent = `${card.title}, by ${unit}`;
    fillTable(card, [unit[0].toUpperCase() + unit.slice(1), "Events"], steps.map(([step, counts]) => [step, number.format(total(counts))]));
    const most = steps.reduce((best, step) => (total(step[1]) > best[1] ? [step[0], total(step[1])] : best), ["", 0]);
    card.canvas.setAttribute("aria-label",
      `Column chart of events per ${unit}, ${steps.length} in all; most on ${most[0]}: ${number.format(most[1])}. The table has all numbers.`);
    return {
      rows: steps.length,
      config: {
        type: "bar",
        data: { labels: steps.map(([step]) => step), datasets },
        options: {
          interaction: { mode: "index", intersect: false },
          scales: { x: { stacked: true, grid: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 24 } }, y: axis({ stacked: true }) },
          plugins: { legend: { position: "bottom", labels: { boxWidth: 12, boxHeight: 12 } } },
        },
      },
    };
  }

  function listed(card, found) {
    const all = sorted(found.lists.get(card.name), card.order);
    const sum = all.reduce((total, row) => total + row[1], 0);
    const of = { all: sum, scans: found.scans, none: 0 }[card.share];
    const share = (n) => (of > 0 ? ((100 * n) / of).toFixed(1) + " %" : "");
    const head = of > 0 ? ["Name", "Count", card.share === "scans" ? "Of scans" : "Share"] : ["Name", "Count"];
    fillTable(card, head, all.map(([word, n]) => (of > 0 ? [word, number.format(n), share(n)] : [word, number.format(n)])));
    // A ring shows the whole. A bar for all others would only make the rest look small.
    const rows = card.chart === "ring" ? firstFew(all, MOST_SERIES + 1) : all.slice(0, MOST_BARS);
    card.more.textContent = card.chart !== "ring" && all.length > MOST_BARS ? `and ${all.length - MOST_BARS} more in the table` : "";
    const largest = rows.slice(0, 3).map(([word, n]) => `${word} ${number.format(n)}`).join(", ");
    card.canvas.setAttribute("aria-label", `Chart of ${card.title.toLowerCase()}: ${largest}. The table has all numbers.`);
    const ring = card.chart === "ring";
    const tooltip = { callbacks: { label: (at) => ` ${number.format(at.raw)}  ${share(at.raw)}` } };
    const options = ring
      // Without a margin a ring of one slice is cut off at its edge.
      ? { cutout: "62%", layout: { padding: 2 }, plugins: { tooltip, legend: { position: "right", labels: { boxWidth: 12, boxHeight: 12, generateLabels: (chart) => legend(chart, rows) } } } }
      : { indexAxis: card.chart === "bars" ? "y" : "x",
          scales: card.chart === "bars" ? { x: axis(), y: shortened() } : { x: words, y: axis() },
          plugins: { tooltip, legend: { display: false } } };
    return {
      rows: rows.length,
      config: {
        type: ring ? "doughnut" : "bar",
        data: {
          labels: rows.map(([word]) => word),
          datasets: [{
            data: rows.map((row) => row[1]), maxBarThickness: 26, borderRadius: ring ? 0 : 3,
            backgroundColor: ring ? rows.map((_, index) => hue(index)) : color("c1"),
            borderColor: color("card"), borderWidth: ring && rows.length > 1 ? 2 : 0,
          }],
        },
        options,
      },
    };
  }

  // A legend with the numbers, so that nobody needs to distinguish colours.
  function legend(chart, rows) {
    const made = Chart.overrides.doughnut.plugins.legend.labels.generateLabels(chart);
    return made.map((entry, index) => ({ ...entry, text: `${short(entry.text, 18)}  ${number.format(rows[index][1])}` }));
  }

  const short = (word, most) => (word.length > most ? word.slice(0, most - 1) + "…" : word);

  function shortened() {
    return { ...words, ticks: { ...words.ticks, callback(value) { return short(this.getLabelForValue(value), 18); } } };
  }

  /* ---- showing ---- */

  function show() {
    const custom = control.period.value === "custom";
    for (const input of [control.from, control.to]) input.parentNode.hidden = !custom;
    const found = count();
    byId("n-events").textContent = number.format(found.events);
    byId("n-ids").textContent = found.ids === null ? "n/a" : number.format(found.ids);
    byId("n-scans").textContent = number.format(found.scans);
    byId("n-failures").textContent = number.format(found.failures);
    const days = [...found.perDay.keys()].sort();
    const period = days.length === 0 ? "" : days.length === 1 ? `, on ${days[0]}` : `, ${days[0]} to ${days[days.length - 1]}`;
    const total = number.format(summary.events);
    const all = found.events !== summary.events ? `${number.format(found.events)} of ${total} events`
      : ["Nothing was collected here yet.", "The only event"][summary.events] ?? `All ${total} events`;
    const unknownIds = found.ids !== null ? ""
      : cube.visits ? `. The anonymous ids of a part are known from ${cube.visits_from} on.`
      : ". There are too many anonymous ids to tell those of a part.";
    byId("said").textContent = all + period + unknownIds;
    for (const card of cards) draw(card, found);
  }

  function tellOrigin() {
    byId("origin").textContent = data.source;
    const notCounted = [];
    if (summary.duplicates > 0) notCounted.push(`${number.format(summary.duplicates)} duplicates`);
    if (summary.malformed > 0) notCounted.push(`${number.format(summary.malformed)} malformed lines`);
    const not = notCounted.length > 0 ? ` Not counted: ${notCounted.join(", ")}.` : "";
    byId("made").textContent = `Made by jmo-telemetry on ${data.made.slice(0, 16).replace("T", " ")} UTC; days are UTC.${not}`;
    const notes = data.notes.map((note) => make("li", { textContent: note }));
    byId("notes").replaceChildren(...notes);
    byId("notes").hidden = notes.length === 0;
    byId("filters").hidden = byId("cards").hidden = summary.events === 0;
  }

  /* ---- from the first data on ---- */

  function receive(next) {
    const first = data === null;
    data = next;
    ({ cube, summary } = data);
    tellOrigin();
    fillChoices();
    if (first) begin();
    show();
  }

  function begin() {
    readAddress();
    buildCards();
    applyTheme();
    const changed = () => { writeAddress(); show(); };
    byId("filters").addEventListener("change", changed);
    byId("filters").addEventListener("reset", () => setTimeout(changed));
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", () => { readAddress(); show(); });
    dark.addEventListener("change", () => { applyTheme(); show(); });
  }

  const embedded = JSON.parse(byId("data").textContent);
  if (embedded === null) window.showTelemetry = receive;
  else receive(embedded);
})();
