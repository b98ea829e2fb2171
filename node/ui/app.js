// The page: asks the daemon what it knows, and shows it.
//
// The token comes in the address's fragment (callbook ui prints it), is kept for this tab and taken out of the
// address. Everything that comes from peers is set as text, never as markup. Not here: charts, the drawing of a trace.

import { draw } from "./charts.js";
import { duration, element, foreign } from "./dom.js";
import { drawTrace } from "./trace.js";

const TOKEN = "callbook-token";
/** Milliseconds between two looks. */
const PAUSE = 5000;

const at = (id) => document.getElementById(id);

function token() {
  const given = location.hash.slice(1);
  if (/^[0-9a-f]{64}$/.test(given)) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN);
}

/** What went wrong, as the daemon says it. */
class Problem extends Error {
  constructor(body) {
    super(body.detail ?? "the daemon's answer can't be read");
    this.hint = body.hint ?? "";
    this.code = body.code ?? "";
  }
}

async function ask(path) {
  let response;
  try {
    response = await fetch(path, { headers: { authorization: `Bearer ${token()}` } });
  } catch {
    throw new Problem({ detail: "the daemon doesn't answer", hint: "start it again: callbook up; then open the address that callbook ui prints" });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(body);
  return body;
}

function trouble(problem) {
  at("trouble").hidden = !problem;
  const text = problem ? `${problem.message}${problem.hint ? `: ${problem.hint}` : ""}` : "";
  // Set anew only if it is: a screen reader would say it again each time.
  if (at("trouble").textContent !== text) at("trouble").textContent = text;
}

const short = (peer) => (peer.length > 16 ? `…${peer.slice(-8)}` : peer);

function until(text) {
  if (!text) return "–";
  const left = (Date.parse(text) - Date.now()) / 1000;
  return left > 0 ? `in ${duration(left)}` : "expired";
}

const cell = (content, properties = {}) => element("td", properties, content ?? "–");

/** Fills a table anew. */
function fill(table, caption, heads, rows) {
  const head = element("tr", {}, ...heads.map(([text, kind]) => element("th", { scope: "col", className: kind ?? "" }, text)));
  const none = element("tr", {}, element("td", { colSpan: heads.length, className: "faint" }, "none"));
  table.replaceChildren(
    element("caption", {}, caption),
    element("thead", {}, head),
    element("tbody", {}, ...(rows.length ? rows : [none])),
  );
}

function showStatus(status) {
  const attached = status.attached ? (status.role === "child" ? "attached" : "in the overlay") : "not attached";
  at("who").textContent = `${status.role}, ${attached} · network ${status.network} · peer ${status.peer}`;
  document.title = `Callbook: ${status.role}, ${attached}`;
  at("foot").textContent = `callbook ${status.version} · process ${status.pid} · ${status.data}`;
  at("warnings").hidden = status.warnings.length === 0;
  at("warnings").replaceChildren(...status.warnings.map((warning) => element("li", {}, warning)));
  const parent = status.parent
    ? element("dd", {}, short(status.parent.peer), element("small", {}, `${status.parent.address ?? ""} ${status.standbys.length} standing by`))
    : element("dd", {}, "none");
  const cards = [
    ["Role", element("dd", {}, status.role, element("small", {}, status.syncing ? "taking over its range" : attached))],
    ["Up for", element("dd", {}, duration(status.uptime_secs))],
    ["Superpeers known", element("dd", {}, `${status.superpeers}`, element("small", {}, `${status.superpeer_links} with a stream`))],
    status.role === "child" ? ["Parent", parent] : ["Children", element("dd", {}, `${status.children}`, element("small", {}, `of at most ${status.children_max}`))],
    ["Records kept for others", element("dd", {}, `${status.records}`)],
    ["Clock", element("dd", {}, `${status.skew_secs} s`, element("small", {}, "against the neighbours'"))],
  ];
  at("cards").replaceChildren(...cards.map(([name, value]) => element("div", {}, element("dt", {}, name), value)));
  const rows = status.names.map((held) => element("tr", {},
    element("th", { scope: "row" }, foreign(held.name)),
    cell(element("span", { className: held.registered ? "good" : "warn" }, held.registered ? `by ${held.stored} of ${held.of}` : "not yet")),
    cell(held.seq === null ? "–" : `${held.seq}`, { className: "number" }),
    cell(until(held.record_until), { title: held.record_until ?? "" }),
    cell(until(held.certificate_until), { title: held.certificate_until }),
    cell(element("code", {}, short(held.device)), { title: held.device }),
  ));
  fill(at("held"), "Published for their owners, and when that ends", [["Name"], ["Acknowledged"], ["Version", "number"], ["Record expires"], ["Certificate expires"], ["Device"]], rows);
}

let peers = [];

function showPeers() {
  const wanted = at("filter").value.trim().toLowerCase();
  const text = (peer) => `${peer.peer} ${peer.relation} ${peer.agent} ${peer.addresses.join(" ")}`.toLowerCase();
  const shown = peers.filter((peer) => text(peer).includes(wanted));
  const rows = shown.map((peer) => element("tr", {},
    element("th", { scope: "row", title: peer.peer }, element("code", {}, short(peer.peer))),
    cell(peer.relation),
    cell(peer.linked ? element("span", { className: "good" }, "open") : "–"),
    cell(peer.round_trip_ms === null ? "–" : `${peer.round_trip_ms.toFixed(1)} ms`, { className: "number" }),
    cell(element("code", {}, peer.addresses.join(", ") || "–")),
    cell(foreign(peer.agent || "–")),
  ));
  const caption = wanted ? `${shown.length} of ${peers.length}` : `${peers.length} neighbours and known superpeers`;
  fill(at("known"), caption, [["Peer"], ["Is"], ["Stream"], ["Round trip", "number"], ["Listens on"], ["Runs"]], rows);
}

async function lookUp(event) {
  event.preventDefault();
  const name = at("name").value.trim();
  const button = at("ask").querySelector("button");
  button.disabled = true;
  at("answer").replaceChildren(element("p", { className: "faint" }, `Looking ${name} up…`));
  at("trace").replaceChildren();
  try {
    const query = `fresh=${at("fresh").checked}&trace=true&presence=true`;
    showAnswer(await ask(`/v1/names/${encodeURIComponent(name)}?${query}`));
    trouble(null);
  } catch (problem) {
    at("answer").replaceChildren(element("p", { className: "bad" }, `${problem.message}. ${problem.hint}`));
  } finally {
    button.disabled = false;
  }
}

/** A multiaddr as IP:PORT and transport. */
function address(text) {
  const [, , ip, transport, port] = text.split("/");
  return port ? `${ip.includes(":") ? `[${ip}]` : ip}:${port} (${transport === "udp" ? "QUIC" : "TCP"})` : text;
}

const PRESENCES = {
  online: (presence) => ["good", `online, heard ${duration(presence.heard_secs)} ago`],
  offline: (presence) => ["faint", `said goodbye at ${presence.since}`],
  unknown: () => ["warn", "its parent doesn't say"],
};

function showAnswer(found) {
  const took = `${found.ms.toFixed(1)} ms`;
  if (found.outcome !== "found") {
    const kind = found.outcome === "absent" ? "warn" : "bad";
    const hint = found.error?.hint ? ` ${found.error.hint}` : "";
    at("answer").replaceChildren(element("p", { className: kind }, `${found.name}: ${found.error?.message ?? found.outcome} (${took}).${hint}`));
  } else {
    const rows = found.devices.map((device) => {
      const [kind, text] = device.presence ? PRESENCES[device.presence.state](device.presence) : ["faint", "–"];
      return element("tr", {},
        cell(element("code", {}, device.addresses.map(address).join(", ") || "behind its parent")),
        cell(element("span", { className: kind }, text)),
        cell(foreign(device.display || "–")),
        cell(foreign(device.entries.join("; ") || "–")),
        cell(until(device.valid_until), { title: device.valid_until }),
        cell(element("code", {}, short(device.peer)), { title: device.peer }),
      );
    });
    const table = element("table");
    fill(table, `${found.name}: found in ${took}, from ${found.source}, ${found.hops} hops`, [["Reachable at"], ["There?"], ["Display name"], ["Entries"], ["Valid"], ["Peer"]], rows);
    at("answer").replaceChildren(element("div", { className: "wide", role: "region", tabIndex: 0, ariaLabel: "Devices" }, table));
  }
  drawTrace(at("trace"), found);
}

async function showHistory() {
  const span = document.querySelector("input[name=span]:checked").value;
  const history = await ask(`/v1/history?span=${span}`);
  at("none").hidden = history.at.length > 1;
  draw(at("figures"), history);
}

async function look() {
  try {
    const [status, known] = await Promise.all([ask("/v1/status"), ask("/v1/peers")]);
    showStatus(status);
    peers = known.peers;
    showPeers();
    await showHistory();
    trouble(null);
  } catch (problem) {
    trouble(problem);
  }
}

at("ask").addEventListener("submit", lookUp);
at("filter").addEventListener("input", showPeers);
document.querySelectorAll("input[name=span]").forEach((choice) => choice.addEventListener("change", look));
// A new token while the page is open: callbook ui was asked again.
addEventListener("hashchange", look);
// Colours are drawn into the charts.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  at("figures").replaceChildren();
  look();
});

await look();
setInterval(() => document.hidden || look(), PAUSE);
