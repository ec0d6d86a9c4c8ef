"use strict";
// The page of `metarun report --html`: everything comes from the JSON in #data; nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const state = { view: data.main.view, metric: null, size: null, shown: new Set(), sort: null, cost: null, curve: null };

function make(tag, text, attributes) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  return node;
}

const short = (value) => {
  if (value === null || value === undefined) return "diverged";
  if (Math.abs(value) >= 9.9995) return String(Number(value.toPrecision(4)));
  const text = value.toFixed(3);
  return Math.abs(value) < 0.9995 ? text.replace("0.", ".") : text;
};
const half = (value) => (value === null ? "" : " ±" + short(value));
const probability = (p) => (p === null ? "" : p < 0.001 ? "p < .001" : "p = " + short(p));
const amount = (found) => {
  if (!found) return "–";
  const [value, least] = found;
  const digits = value < 10 && value % 1 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
  return (least ? "≥ " : "") + digits;
};
const entryName = (n) => data.entries[n].method + (data.entries[n].where ? " · " + data.entries[n].where : "");
const table = () => data.views[state.view].metrics.find((found) => found.name === state.metric);
const cellOf = (n) => (table().values[n] || [])[state.size];
const known = () => Object.keys(table().values).map(Number).sort((a, b) => a - b);
const shown = () => known().filter((n) => state.shown.has(n));
const sizeName = (size) => (size === null ? "all" : String(size));
const at = () => (table().sizes[state.size] === null ? "" : " at " + table().sizes[state.size] + " support ratings");

function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => make("option", text, { value })));
  select.value = String(chosen);
  select.disabled = pairs.length < 2;
}

function start() {
  byId("title").textContent = data.title;
  byId("headline").textContent = data.headline;
  byId("facts").textContent = data.facts;
  byId("synthetic").hidden = !data.synthetic;
  byId("left-out").hidden = !data.left_out.length;
  byId("left-out").append(...data.left_out.map((line) => make("p", line)));
  data.entries.forEach((entry, n) => entry.shown && state.shown.add(n));
  options(byId("view"), data.views.map((view, n) => [n, view.name]), state.view);
  state.metric = data.main.metric;
  costOptions();
  curveOptions();
  chooser();
  tables();
  chooseView(false);
  listen();
}

function chooseView(reset) {
  const metrics = data.views[state.view].metrics;
  if (reset || !metrics.some((found) => found.name === state.metric)) state.metric = metrics[0].name;
  options(byId("metric"), metrics.map((found) => [found.name, found.label]), state.metric);
  chooseMetric();
}

function chooseMetric() {
  const sizes = table().sizes;
  // The middle one at first; another view may have fewer.
  if (state.size === null || state.size >= sizes.length) state.size = Math.floor(sizes.length / 2);
  options(byId("size"), sizes.map((size, n) => [n, sizeName(size)]), state.size);
  state.sort = null;
  draw();
}

function listen() {
  byId("view").onchange = (event) => { state.view = Number(event.target.value); chooseView(true); };
  byId("metric").onchange = (event) => { state.metric = event.target.value; chooseMetric(); };
  byId("size").onchange = (event) => { state.size = Number(event.target.value); draw(); };
  byId("bars").onchange = drawSupport;
  byId("cost").onchange = (event) => { state.cost = event.target.value; drawScatter(); };
  byId("curve").onchange = (event) => { state.curve = Number(event.target.value); drawCurves(); };
  byId("search").oninput = filterBoxes;
  byId("controls").onsubmit = (event) => event.preventDefault();
  const visible = () => [...document.querySelectorAll("#boxes input")].filter((box) => !box.parentNode.hidden);
  byId("all").onclick = () => { visible().forEach((box) => state.shown.add(Number(box.value))); draw(); };
  byId("none").onclick = () => { visible().forEach((box) => state.shown.delete(Number(box.value))); draw(); };
  byId("first").onclick = () => {
    state.shown = new Set(data.entries.flatMap((entry, n) => (entry.shown ? [n] : [])));
    draw();
  };
  document.addEventListener("click", (event) => {
    if (!byId("chooser").contains(event.target)) byId("chooser").open = false;
  });
  window.addEventListener("scroll", drawSoon, { passive: true });
  window.addEventListener("resize", drawSoon, { passive: true });
  window.addEventListener("beforeprint", () => drawVisible(true));
  window.addEventListener("beforeprint", () => document.querySelectorAll("main details").forEach((part) => { part.open = true; }));
}

function chooser() {
  let where = "";
  for (const [n, entry] of data.entries.entries()) {
    if (entry.where !== where) byId("boxes").append(make("p", (where = entry.where), { class: "where" }));
    const label = make("label");
    const box = make("input", null, { type: "checkbox", value: n });
    box.onchange = () => { box.checked ? state.shown.add(n) : state.shown.delete(n); draw(); };
    label.append(box, " " + entry.method);
    byId("boxes").append(label);
  }
}

function filterBoxes() {
  const words = byId("search").value.toLowerCase().split(/\s+/);
  document.querySelectorAll("#boxes label").forEach((label) => {
    const name = entryName(Number(label.firstChild.value)).toLowerCase();
    label.hidden = !words.every((word) => name.includes(word));
    label.style.display = label.hidden ? "none" : "";
  });
}

function draw() {
  document.querySelectorAll("#boxes input").forEach((box) => { box.checked = state.shown.has(Number(box.value)); });
  byId("count").textContent = shown().length + " of " + known().length + " shown";
  drawTable();
  for (const name of Object.keys(pictures)) wanted.add(name);
  drawVisible();
}

// A picture is drawn when it comes near the window, so that the page opens at once; before printing, all are.
const pictures = { support: () => drawSupport(), pairs: () => drawPairs(), scatter: () => drawScatter(), curves: () => drawCurves() };
const wanted = new Set();
let queued = false;

function drawVisible(everything) {
  if (typeof Plotly === "undefined") return;
  for (const name of [...wanted]) {
    const box = byId(name).getBoundingClientRect();
    const far = box.top > window.innerHeight + 300 || box.bottom < -300;
    if (far && !everything) continue;
    wanted.delete(name);
    if (!byId(name).parentNode.hidden) pictures[name]();
  }
}

function drawSoon() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => { queued = false; drawVisible(); });
}

// ---------------------------------------------------------------------- the table

function columns() {
  const found = table();
  const quality = found.sizes.map((size, n) => ({
    head: size === null ? found.label : "s = " + size,
    value: (entry) => { const cell = found.values[entry][n]; return cell ? cell[0] : null; },
    fill: (node, entry) => fillCell(node, entry, found.values[entry][n]),
    down: found.higher,
  }));
  const validation = {
    head: "validation", value: (n) => data.entries[n].validation, down: found.higher,
    fill: (node, n) => { node.textContent = data.entries[n].validation === null ? "–" : short(data.entries[n].validation); },
  };
  const spent = Object.keys(data.costs).filter((key) => known().some((n) => data.entries[n].cost[key]));
  const costs = spent.map((key) => ({
    head: data.costs[key], value: (n) => (data.entries[n].cost[key] || [null])[0],
    fill: (node, n) => { node.textContent = amount(data.entries[n].cost[key]); },
  }));
  const runs = {
    head: "runs", value: (n) => data.entries[n].runs, fill: (node, n) => { node.textContent = data.entries[n].runs; },
  };
  return [...quality, { ...validation, first: true }, runs, ...costs];
}

function fillCell(node, n, cell) {
  if (!cell) return;
  const [value, ci95, tasks, mark, sign, pair, ahead] = cell;
  node.append(mark + short(value), make("span", half(ci95), { class: "half" }), sign > 0 ? "*" : sign < 0 ? "°" : "\u2007");
  if (mark === ">") node.classList.add("best");
  if (sign < 0) node.classList.add("worse");
  const told = (found, role) =>
    found ? `${short(found[1])}${half(found[2])} to ${role} ${entryName(found[0])}, ${probability(found[3])} (Holm)` : "";
  node.title = [entryName(n), `n = ${tasks}`, told(pair, "the reference"), told(ahead, "the best")].filter(Boolean).join("\n");
}

function drawTable() {
  const found = columns();
  const head = make("tr");
  head.append(...["method", ...found.map((column) => column.head)].map((text, n) => {
    const column = found[n - 1];
    const node = make("th", text, { tabindex: 0, scope: "col", class: column && column.first ? "first-cost" : "" });
    if (state.sort && state.sort.column === n - 1) node.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
    node.onclick = () => sortBy(n - 1, column);
    node.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sortBy(n - 1, column); } };
    return node;
  }));
  const body = make("tbody");
  body.append(...sorted(shown(), found).map((n) => row(n, found)));
  const top = make("thead");
  top.append(head);
  byId("table").replaceChildren(top, body);
  byId("caption").textContent = table().caption.join(". ") + ". Point at a value for its differences, click a head to sort.";
}

function row(n, found) {
  const entry = data.entries[n];
  const line = make("tr", null, { class: entry.chosen ? "chosen" : "", "data-entry": n });
  const name = make("td");
  name.append(make("span", glyphs[entry.symbol] || "•", { class: "swatch", style: "color:" + entry.color, "aria-hidden": "true" }));
  name.append((entry.chosen ? "→ " : "") + entry.method + " ", make("span", entry.where, { class: "where" }));
  line.append(name, ...found.map((column) => {
    const node = make("td", null, { class: column.first ? "first-cost" : "" });
    column.fill(node, n);
    return node;
  }));
  return line;
}

const glyphs = {
  circle: "●", square: "■", diamond: "◆", "triangle-down": "▼", "triangle-up": "▲", pentagon: "⬟", x: "✖", star: "★",
  "circle-open": "○", "square-open": "□", "diamond-open": "◇", "triangle-down-open": "▽", "triangle-up-open": "△",
  "pentagon-open": "⬠", "x-open": "✕", "star-open": "☆", cross: "✚", "line-ew-open": "┄",
};

function sortBy(column, found) {
  const before = state.sort;
  const first = Boolean(found && found.down);
  state.sort = { column, down: before && before.column === column ? !before.down : first };
  drawTable();
}

function sorted(entries, found) {
  if (!state.sort) return entries;
  const { column, down } = state.sort;
  const value = (n) => (column < 0 ? entryName(n) : found[column].value(n));
  return [...entries].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || x === undefined) return y === null || y === undefined ? a - b : 1;  // what is missing comes last
    if (y === null || y === undefined) return -1;
    return (x < y ? -1 : x > y ? 1 : a - b) * (down ? -1 : 1);
  });
}

function fillText(id, found) {
  const head = make("tr");
  head.append(...found.heads.map((text) => make("th", text)));
  const rows = found.rows.map((cells) => {
    const line = make("tr");
    line.append(...cells.map((text) => make("td", text)));
    return line;
  });
  byId(id).replaceChildren(head, ...rows);
}

function tables() {
  fillText("runs", data.runs);
  fillText("settings", data.settings);
  byId("differences").parentNode.hidden = !data.settings.rows.length;
  byId("differences").querySelector("summary").textContent = `${data.settings.rows.length} settings`;
  byId("differences").open = data.settings.rows.length > 0 && data.settings.rows.length <= 12;
  byId("provenance").querySelector("summary").textContent = `Each run: data, code, time (${data.runs.rows.length})`;
  byId("provenance").open = data.runs.rows.length <= 12;
  byId("commands").append(...data.commands.map((line) => make("li", line)));
  byId("environments").append(...data.environments.map((line) => make("li", line)));
  byId("warnings").hidden = !data.warnings.length;
  byId("warnings").querySelector("summary").textContent = `${data.warnings.length} different ones`;
  byId("warnings").querySelector("details").open = data.warnings.length < 8;
  byId("warnings").querySelector("ul").append(...data.warnings.map((line) => make("li", line)));
}
