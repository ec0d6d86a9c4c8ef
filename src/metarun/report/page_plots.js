"use strict";
// The pictures of the page: support-size curves, paired differences, cost against quality, learning curves.
const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

function layout(more) {
  const axis = { gridcolor: "#e6e6e6", zeroline: false, linecolor: "#555", ticks: "outside", automargin: true };
  const { xaxis, yaxis, ...rest } = more;
  return {
    font: { family: "system-ui, Liberation Sans, Arial, sans-serif", size: 12, color: "#1a1a1a" },
    margin: { l: 60, r: 16, t: 12, b: 48 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest",
    height: 440,
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}

// A legend below takes as many rows as its names need, and leaves the frame its height.
function below(id, names) {
  const across = Math.max(1, Math.floor((byId(id).clientWidth - 80) / (52 + 6.7 * Math.max(0, ...names.map((name) => name.length)))));
  const rows = Math.ceil(names.length / across);
  return { height: 400 + 20 * rows, legend: { orientation: "h", x: 0, y: -0.19, yanchor: "top", font: { size: 11.5 } } };
}

function say(id, lines) {
  byId(id).textContent = lines.filter(Boolean).join(" ");
}

function empty(id, why) {
  byId(id).classList.add("empty");
  Plotly.react(id, [], layout({
    height: 150,
    xaxis: { visible: false }, yaxis: { visible: false },
    annotations: [{ text: why, showarrow: false, x: 0.5, y: 0.5, xref: "paper", yref: "paper", font: { size: 14 } }],
  }), config);
}

const look = (entry) => ({
  line: { color: entry.color, dash: entry.dash, width: entry.chosen ? 3.5 : entry.width },
  marker: { color: entry.color, symbol: entry.symbol, size: entry.chosen ? 11 : 8, line: { width: 1.5, color: entry.color } },
});
const legendName = (n) => entryName(n) + (data.entries[n].chosen ? " (chosen)" : "");

// A name beside the frame is broken between words, so that the frame keeps its room.
function folded(name, most) {
  const lines = [""];
  for (const word of name.split(" ")) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines.join("<br>");
}

// The scale is bounded on its bad side by 2.5 times the distance of the median from the best.
function frame(points, higher) {
  const bad = higher ? -1 : 1;
  const values = points.map(([value]) => bad * value).sort((a, b) => a - b);
  if (!values.length) return null;
  const best = values[0];
  const middle = values[Math.floor(values.length / 2)];
  const limit = middle > best ? Math.min(values[values.length - 1], best + 2.5 * (middle - best)) : values[values.length - 1];
  // Intervals of what lies inside stay inside.
  const near = points.filter(([value]) => bad * value <= limit);
  const low = Math.min(...near.map(([value, ci95]) => bad * value - (ci95 || 0)));
  const high = Math.max(...near.map(([value, ci95]) => bad * value + (ci95 || 0)));
  const room = 0.06 * (high - low) || 0.01;
  const ends = [bad * (low - room), bad * (high + room)];
  return { range: [Math.min(...ends), Math.max(...ends)], limit: high + room, bad };
}

function drawSupport() {
  const found = table();
  const entries = shown();
  const single = found.sizes.length === 1;
  byId("support-title").textContent = single ? `${found.label} by method` : `${found.label} by support size`;
  if (!entries.length) { empty("support", "no method is chosen"); say("support-note", []); return; }
  const inside = entries.filter((n) => data.entries[n].end !== "oracle");
  const bars = byId("bars").value;
  const barred = (n) => bars === "all" || (bars === "main" && (single || data.entries[n].chosen || data.entries[n].reference));
  const points = inside.flatMap((n) => found.values[n].filter((cell) => cell && cell[0] !== null).map((cell) => [cell[0], barred(n) ? cell[1] : 0]));
  const cut = frame(points, found.higher);
  const traces = entries.map((n, k) => {
    const dodge = single ? 0 : (k - (entries.length - 1) / 2) * Math.min(0.02, 0.34 / entries.length);
    const cells = found.values[n];
    return {
      type: "scatter", mode: "lines+markers", name: legendName(n), ...look(data.entries[n]),
      x: single ? [k] : found.sizes.map((_, place) => place + dodge), y: cells.map((cell) => (cell ? cell[0] : null)),
      error_y: { array: cells.map((cell) => (cell && cell[1]) || 0), visible: barred(n), thickness: 1.2, width: 3, color: data.entries[n].color },
      text: cells.map((cell, place) => (cell ? `${entryName(n)}<br>${found.label}${single ? "" : " at " + found.sizes[place]}: ` +
        `${short(cell[0])}${half(cell[1])}<br>n = ${cell[2]}` : "")), hoverinfo: "text",
    };
  });
  const ticks = single ? entries.map((n) => entryName(n)) : found.sizes.map(sizeName);
  byId("support").classList.remove("empty");
  Plotly.react("support", traces, layout({
    xaxis: { tickvals: ticks.map((_, place) => place), ticktext: ticks, title: { text: single ? "" : "support ratings (known before)" }, tickangle: single ? -40 : 0 },
    yaxis: { title: { text: `${found.label}, ${found.higher ? "higher" : "lower"} is better` }, range: cut ? cut.range : undefined },
    showlegend: !single, ...below("support", single ? [] : entries.map(legendName)),
  }), config);
  const out = cut ? entries.filter((n) => found.values[n].some((cell) => cell && (cell[0] === null || cut.bad * cell[0] > cut.limit))) : [];
  const above = entries.filter((n) => data.entries[n].end === "oracle" && cut && found.values[n].some((cell) => cell && (cell[0] < cut.range[0] || cell[0] > cut.range[1])));
  say("support-note", [
    bars !== "none" && "Bars: 95 % intervals; how sure a difference is, the paired ones tell.",
    above.length && `Outside the frame: oracle, ${[...new Set(found.values[above[0]].filter(Boolean).map((cell) => short(cell[0])))].join(" / ")}.`,
    out.length && `Outside the frame, or in part: ${out.map(entryName).join(", ")}.`,
  ]);
}

function drawPairs() {
  const found = table();
  const entries = shown().filter((n) => cellOf(n) && cellOf(n)[5] && cellOf(n)[5][1] !== null);
  const references = [...new Set(entries.map((n) => data.entries[cellOf(n)[5][0]].method))];
  byId("pairs-title").textContent = `Paired difference to ${references.join(" or ") || "the reference"}${at()}`;
  if (!entries.length) { empty("pairs", "no paired difference for what is chosen"); say("pairs-note", []); return; }
  const sign = found.higher ? -1 : 1;
  const order = [...entries].sort((a, b) => sign * (cellOf(b)[5][1] - cellOf(a)[5][1]));
  const inside = order.filter((n) => data.entries[n].end !== "oracle");
  const reach = frame(inside.map((n) => [sign * cellOf(n)[5][1], cellOf(n)[5][2]]), false);
  const far = Math.max(0.001, ...inside.map((n) => Math.abs(cellOf(n)[5][1]) + (cellOf(n)[5][2] || 0)));
  const bound = reach && inside.length > 2 ? Math.min(far, Math.max(Math.abs(reach.range[0]), Math.abs(reach.range[1]))) : far;
  const traces = order.map((n, k) => {
    const [, difference, ci95, p] = cellOf(n)[5];
    const style = look(data.entries[n]);
    const clear = cellOf(n)[4] !== 0;
    const marker = { ...style.marker, symbol: clear ? "circle" : "circle-open", size: 10 };
    return {
      type: "scatter", mode: "markers", x: [difference], y: [k], marker, showlegend: false, hoverinfo: "text",
      error_x: { array: [ci95 || 0], visible: Math.abs(difference) <= 1.08 * bound, thickness: clear ? 2.5 : 1.2, width: 4, color: data.entries[n].color },
      text: [`${entryName(n)}<br>${short(difference)}${half(ci95)}, ${probability(p)} after Holm's correction`],
    };
  });
  const names = order.map((n) => folded(legendName(n), 30));
  const lines = names.reduce((total, name) => total + name.split("<br>").length, 0);
  byId("pairs").classList.remove("empty");
  Plotly.react("pairs", traces, layout({
    xaxis: { title: { text: `difference in ${found.label}: ${found.higher ? "right" : "left"} of 0 is better` }, range: [-1.08 * bound, 1.08 * bound] },
    yaxis: { tickvals: order.map((_, k) => k), ticktext: names, range: [-0.7, order.length - 0.3], tickfont: { size: order.length > 24 ? 9 : 12 } },
    shapes: [{ type: "line", x0: 0, x1: 0, yref: "paper", y0: 0, y1: 1, line: { color: "#000", dash: "dash", width: 1.5 } }],
    annotations: order.flatMap((n, k) => {
      const [, difference] = cellOf(n)[5];
      if (Math.abs(difference) <= 1.08 * bound) return [];
      const right = difference > 0;
      return [{ x: right ? 1 : 0, xref: "paper", xanchor: right ? "right" : "left", y: k, showarrow: false, text: right ? `${short(difference)} ▶` : `◀ ${short(difference)}`, font: { color: data.entries[n].color } }];
    }),
    height: Math.max(440, 90 + 17 * lines),
  }), config);
  const out = order.filter((n) => Math.abs(cellOf(n)[5][1]) > 1.08 * bound);
  say("pairs-note", [
    "On identical tasks; bars: 95 % intervals; filled: p < .05 after Holm's correction, open: not significant.",
    out.length && `Outside the frame: ${out.map((n) => `${entryName(n)} (${short(cellOf(n)[5][1])})`).join(", ")}.`,
  ]);
}

function costOptions() {
  const found = Object.keys(data.costs).filter((key) => {
    const values = data.entries.filter((entry) => entry.cost[key] && entry.cost[key][0] > 0).map((entry) => entry.cost[key][0]);
    return values.length;
  });
  const distinct = (key) => new Set(data.entries.map((entry) => (entry.cost[key] || [null])[0])).size;
  // Methods of one run share its cost: what each has cost alone comes first where runs tell it.
  found.sort((a, b) => b.startsWith("method") - a.startsWith("method") || (distinct(b) > 2) - (distinct(a) > 2));
  state.cost = found[0] || null;
  options(byId("cost"), found.map((key) => [key, data.costs[key]]), state.cost);
}

function drawScatter() {
  const found = table();
  const all = shown().filter((n) => cellOf(n) && cellOf(n)[0] !== null && !data.entries[n].end);
  const entries = all.filter((n) => state.cost && data.entries[n].cost[state.cost] && data.entries[n].cost[state.cost][0] > 0);
  const spent = new Set(entries.map((n) => data.entries[n].cost[state.cost][0]));
  if (!entries.length || (spent.size < 2 && entries.length > 1)) {
    empty("scatter", entries.length ? "one cost for all: these runs do not tell it by method" : "no cost is recorded for what is chosen");
    say("scatter-note", []);
    return;
  }
  const traces = entries.map((n) => ({
    type: "scatter", mode: "markers", name: legendName(n), marker: look(data.entries[n]).marker,
    x: [data.entries[n].cost[state.cost][0]], y: [cellOf(n)[0]],
    error_y: { array: [cellOf(n)[1] || 0], thickness: 1, width: 3, color: data.entries[n].color }, hoverinfo: "text",
    text: [`${entryName(n)}<br>${found.label} ${short(cellOf(n)[0])}${half(cellOf(n)[1])}<br>${data.costs[state.cost]}: ${amount(data.entries[n].cost[state.cost])}`],
  }));
  const base = all.filter((n) => data.entries[n].reference && !entries.includes(n));
  byId("scatter").classList.remove("empty");
  Plotly.react("scatter", traces, layout({
    xaxis: { type: "log", title: { text: data.costs[state.cost] + (state.cost.startsWith("method") ? "" : ", mean of a run") } },
    yaxis: { title: { text: found.label + at() } },
    shapes: base.map((n) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: cellOf(n)[0], y1: cellOf(n)[0], line: { color: "#000", dash: "dash", width: 1.3 } })),
    showlegend: true, ...below("scatter", entries.map(legendName)),
  }), config);
  const without = all.filter((n) => !entries.includes(n) && !base.includes(n));
  say("scatter-note", [
    base.length && `Dashed: ${base.map(entryName).join(", ")}.`,
    !state.cost.startsWith("method") && "The cost is that of the whole run, baselines and evaluation included.",
    without.length && `Without a cost of their own: ${without.map(entryName).join(", ")}.`,
  ]);
}

function curveOptions() {
  const kinds = new Map();
  for (const curve of data.curves) {
    const stage = curve.kind === "training" ? ` of ${curve.method.split("/")[0]}` : "";
    curve.label = `${curve.kind} ${curve.metric}${stage}`;
    kinds.set(curve.label, (kinds.get(curve.label) || 0) + 1);
  }
  const names = [...kinds.keys()].sort((a, b) => b.startsWith("training") - a.startsWith("training"));
  state.curves = names;
  state.curve = Math.max(0, names.findIndex((name) => !name.endsWith("of pretrain")));
  byId("curves").parentNode.hidden = !names.length;
  options(byId("curve"), names.map((name, n) => [n, name]), state.curve);
}

function drawCurves() {
  const name = state.curves[state.curve];
  const here = new Set(shown().flatMap((n) => data.entries[n].groups));
  const found = data.curves.filter((curve) => curve.label === name && here.has(curve.group));
  if (!found.length) { empty("curves", "no learning curve for what is chosen"); say("curves-note", []); return; }
  const owner = (curve) => data.entries.findIndex((entry) => entry.method === curve.method && entry.groups.includes(curve.group));
  const drawn = found.filter((curve) => owner(curve) < 0 || state.shown.has(owner(curve)));
  const traces = drawn.map((curve) => {
    const n = owner(curve);
    const label = n < 0 ? `${curve.method} · ${data.groups[curve.group].label}` : entryName(n);
    const style = n < 0 ? {} : look(data.entries[n]);
    const points = curve.kind === "validation" || curve.x.length < 12;
    return { type: "scatter", mode: points ? "lines+markers" : "lines", name: label, ...style, x: curve.x, y: curve.y,
      hovertemplate: `${label}<br>%{x}: %{y}<extra></extra>` };
  });
  const training = found[0].kind === "training";
  byId("curves").classList.remove("empty");
  Plotly.react("curves", traces, layout({
    xaxis: { title: { text: training ? "optimiser step, rounds one after another" : "round" }, ...(training ? {} : { dtick: 1 }) },
    yaxis: { title: { text: training ? "training loss" : `${found[0].metric} on validation tasks` } }, showlegend: true,
    ...below("curves", traces.map((trace) => trace.name)),
  }), config);
  say("curves-note", ["Means over the runs of a group."]);
}

function loadPlotly() {
  const script = document.createElement("script");
  script.textContent = byId("plotly").textContent;
  document.head.append(script);
  drawVisible();
  document.body.dataset.ready = String(Math.round(performance.now()));
}

start();
window.addEventListener("load", () => setTimeout(loadPlotly));
