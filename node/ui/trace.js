// A look-up's requests on a line of time, and the same as a table.

import { element } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 900;
const LEFT = 210;
const ROW = 24;

const KINDS = { found: "found", denied: "denied", syncing: "late", unknown: "late", silent: "late" };

function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  if (text !== undefined) made.textContent = text;
  return made;
}

const who = (step) => `${step.asked} ${step.address ?? `…${step.peer.slice(-8)}`}`;

const said = (step) => `${step.answer}${step.devices ? `, ${step.devices} device${step.devices > 1 ? "s" : ""}` : ""}${step.source ? ` from ${step.source}` : ""}`;

/** Shows how an answer was found. */
export function drawTrace(box, found) {
  if (found.trace.length === 0) {
    const why = found.source ? `Nobody was asked: it came from ${found.source}.` : "Nobody was asked.";
    return box.replaceChildren(element("p", { className: "faint" }, why));
  }
  const end = Math.max(found.ms, ...found.trace.map((step) => step.at_ms + step.took_ms), 0.001);
  const x = (ms) => LEFT + ((WIDTH - LEFT - 150) * ms) / end;
  const height = ROW * found.trace.length + 26;
  const label = `Requests of the look-up of ${found.name} over ${end.toFixed(1)} ms; the table below says the same`;
  const svg = drawn("svg", { class: "trace", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label });
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(drawn("line", { class: "axis", x1: x(end * part), x2: x(end * part), y1: 0, y2: height - 20 }));
    svg.append(drawn("text", { class: "mark", x: x(end * part), y: height - 5, "text-anchor": "middle" }, `${(end * part).toFixed(1)} ms`));
  }
  found.trace.forEach((step, index) => {
    const y = index * ROW;
    const width = Math.max(x(step.at_ms + step.took_ms) - x(step.at_ms), 3);
    svg.append(drawn("text", { x: 0, y: y + 16 }, who(step)));
    svg.append(drawn("rect", { class: KINDS[step.answer] ?? "failed", x: x(step.at_ms), y: y + 4, width, height: ROW - 8, rx: 3 }));
    svg.append(drawn("text", { x: x(step.at_ms) + width + 6, y: y + 16 }, said(step)));
  });
  const heads = ["At", "Asked", "Answered", "After"].map((text) => element("th", { scope: "col" }, text));
  const rows = found.trace.map((step) => element("tr", {},
    element("td", {}, `${step.at_ms.toFixed(1)} ms`),
    element("td", {}, who(step)),
    element("td", {}, said(step)),
    element("td", {}, `${step.took_ms.toFixed(1)} ms`),
  ));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
  box.replaceChildren(
    element("h3", {}, "How it was found"),
    svg,
    element("details", {}, element("summary", {}, "Every step in words"), table),
  );
}
