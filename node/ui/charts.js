// Charts of what the daemon remembers, each with its numbers as a table for who can't see it.

import { element } from "./dom.js";

/** Of a chart, in pixels. */
const HEIGHT = 210;

const rate = (history, values) => values.map((count, index) => (count * 60) / history.secs[index]);

/** What is drawn: title, what it means, unit, and series with their colours. */
const CHARTS = [
  {
    title: "Churn", text: "Sessions of peers that this one sees with its own eyes (children, superpeers), per minute", unit: "/min",
    series: (h) => [["arrivals", "green", rate(h, h.arrivals)], ["departures", "red", rate(h, h.departures)], ["flaps (back within 60 s)", "orange", rate(h, h.flaps)]],
  },
  {
    title: "Peers online", text: "As this peer sees them, and superpeers in its map", unit: "",
    series: (h) => [["seen", "blue", h.online], ["superpeers known", "violet", h.superpeers]],
  },
  {
    title: "Look-ups", text: "By how they ended, own and children's, per minute", unit: "/min",
    series: (h) => [["found", "green", rate(h, h.found)], ["absent", "blue", rate(h, h.absent)], ["unknown", "orange", rate(h, h.unknown)], ["unverified", "red", rate(h, h.invalid)]],
  },
  {
    title: "Time of a look-up", text: "Own look-ups that found the name, in milliseconds", unit: " ms",
    series: (h) => [["median", "blue", h.p50_ms], ["99th percentile", "orange", h.p99_ms]],
  },
  {
    title: "Role", text: "Children attached (none as a child), and open streams", unit: "",
    series: (h) => [["children", "blue", h.children], ["streams", "violet", h.links], ["superpeer (1) or child (0)", "green", h.superpeer]],
  },
];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const shown = (value, unit) => (value === null || value === undefined ? "–" : `${Number(value.toFixed(2))}${unit}`);

/** Draws all charts into a box, or gives those that are there new numbers. */
export function draw(box, history) {
  CHARTS.forEach((chart, index) => {
    const series = chart.series(history);
    const columns = [history.at, ...series.map(([, , values]) => values)];
    const figure = box.children[index] ?? box.appendChild(frame(chart, series, columns));
    figure.plot.setData(columns);
    tell(figure.querySelector("details tbody"), series, chart.unit);
  });
}

/** Charts are as wide as their place. */
const fitted = new ResizeObserver((changes) => changes.forEach(({ target, contentRect }) => {
  target.plot.setSize({ width: Math.max(contentRect.width, 200), height: HEIGHT });
}));

const time = (seconds, parts) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...parts });

/** The time of day; seconds where the ticks are close. */
const times = (_, ticks, __, ___, step) => ticks.map((tick) => time(tick, step < 60 ? { second: "2-digit" } : {}));

function frame(chart, series, columns) {
  const place = element("div", { className: "plot", ariaHidden: "true" });
  const head = element("tr", {}, ...["", "now", "least", "most"].map((text) => element("th", { scope: "col" }, text || element("span", { className: "unseen" }, "series"))));
  const table = element("table", {}, element("thead", {}, head), element("tbody"));
  const figure = element("figure", {},
    element("figcaption", {}, chart.title, element("small", {}, chart.text)),
    place,
    element("details", {}, element("summary", {}, `${chart.title} in numbers`), table),
  );
  const axis = { stroke: colour("faint"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1 } };
  const line = ([label, name]) => ({ label, stroke: colour(name), width: 2, points: { show: false }, spanGaps: false, value: (_, value) => shown(value, chart.unit) });
  const options = {
    width: 460, height: HEIGHT, cursor: { y: false },
    axes: [{ ...axis, values: times, space: 70 }, { ...axis, size: 46 }],
    scales: { y: { range: (_, least, most) => [0, Math.max(most ?? 0, 1) * 1.05] } },
    series: [{ label: "at", value: (_, at) => (at === null ? "–" : time(at, { second: "2-digit" })) }, ...series.map(line)],
  };
  figure.plot = new globalThis.uPlot(options, columns, place);
  fitted.observe(figure);
  return figure;
}

function tell(body, series, unit) {
  const rows = series.map(([label, , values]) => {
    const known = values.filter((value) => value !== null);
    const cells = [known.at(-1), Math.min(...known), Math.max(...known)];
    const texts = known.length ? cells.map((value) => shown(value, unit)) : ["–", "–", "–"];
    return element("tr", {}, element("th", { scope: "row" }, label), ...texts.map((text) => element("td", {}, text)));
  });
  body.replaceChildren(...rows);
}
