// Takes the pictures of docs/images: a superpeer of a demo network in which children come and go, and everybody
// looks names up, for some minutes. Run by hand: node pictures.mjs FOLDER [MINUTES]
//
// *Not here*: whether the page is right (page.test.mjs).

import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { CALLBOOK, callbook, startBrowser, startDemo } from "./network.mjs";

const [folder, minutes = "10"] = process.argv.slice(2);
if (!folder) throw new Error("into which folder?");

/** Who is on the demo's children. */
const NAMES = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "ken", "lena"];
/** Children that come and go, beside those of the demo. */
const GUESTS = 8;

const one = (list) => list[Math.floor(Math.random() * list.length)];

/** A child without a name, which is there for a while and then for a while not. */
class Guest {
  constructor(root, number) {
    this.data = join(root, `guest-${number}`);
    this.network = join(root, "server", "network.toml");
  }
  turn() {
    if (this.process) {
      this.process.kill(Math.random() < 0.7 ? "SIGTERM" : "SIGKILL");
      this.process = null;
    } else {
      const words = ["--data", this.data, "up", "--role", "child", "--network", this.network];
      this.process = spawn(CALLBOOK, words, { stdio: "ignore" });
    }
  }
}

/** How many others a superpeer asks for a name. */
async function asked(data, name) {
  const said = await callbook(data, "lookup", name, "--fresh", "--trace", "--json").catch(() => "{}");
  return JSON.parse(said).names?.[0]?.trace?.length ?? 0;
}

/** How many children have left a superpeer, one way or the other. */
async function left(data) {
  const { metrics } = JSON.parse(await callbook(data, "status", "--json"));
  const page = await (await fetch(metrics)).text();
  const counts = page.matchAll(/^callbook_peer_departures_total\{role="child".*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** The superpeer with most to see of those that have to ask others for a name, and that name. */
async function best(superpeers) {
  const seen = await Promise.all(superpeers.map(async (data) => [data, await left(data)]));
  for (const [data] of seen.sort(([, one], [, other]) => other - one)) {
    const steps = await Promise.all(NAMES.map(async (name) => [name, await asked(data, name)]));
    const [name, most] = steps.sort(([, one], [, other]) => other - one)[0];
    if (most) return [data, name];
  }
  throw new Error("nobody has to ask anybody");
}

async function show(browser, url, name, colorScheme) {
  const page = await browser.newPage({ viewport: { width: 1180, height: 900 }, colorScheme, reducedMotion: "reduce" });
  await page.goto(url);
  await page.locator("#none").waitFor({ state: "hidden" });
  await page.locator("#fresh").check();
  await page.locator("#name").fill(name);
  await page.keyboard.press("Enter");
  await page.locator("#answer caption", { hasText: name }).waitFor();
  await page.screenshot({ path: join(folder, `ui-${colorScheme}.png`), fullPage: true });
  await page.close();
}

const demo = await startDemo(6, 12);
// The demo has stopped its login server, and children that were never there before know nobody else.
const serve = ["serve", "--data", join(demo.root, "server")];
const server = spawn(join(dirname(CALLBOOK), "callbook-bootstrap"), serve, { stdio: "ignore" });
const guests = Array.from({ length: GUESTS }, (_, number) => new Guest(demo.root, number));
const chrome = await startBrowser();
try {
  const superpeers = [1, 2, 3, 4, 5, 6].map((number) => join(demo.root, `sp-${number}`));
  const alive = [];
  for (const data of superpeers) if (await callbook(data, "status").catch(() => null)) alive.push(data);
  const ask = async (data) => {
    const names = Array.from({ length: 6 }, () => one(NAMES));
    if (Math.random() < 0.3) names.push(`nobody-${Math.floor(Math.random() * 1e6)}`);
    await callbook(data, "lookup", ...names, ...(Math.random() < 0.5 ? ["--fresh"] : [])).catch(() => null);
  };
  for (const until = Date.now() + Number(minutes) * 60_000; Date.now() < until; await pause(2_000)) {
    one(guests).turn();
    await Promise.all(alive.map(ask));
  }
  const [shown, name] = await best(alive);
  const url = await callbook(shown, "ui");
  for (const colorScheme of ["light", "dark"]) await show(chrome.browser, url, name, colorScheme);
} finally {
  for (const guest of guests) guest.process?.kill("SIGKILL");
  server.kill("SIGTERM");
  await Promise.allSettled([demo.stop(), chrome.stop()]);
}
