// A demo network of real processes, and a browser to look at it with.

import { spawn, execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
export const CALLBOOK = process.env.CALLBOOK_BIN ?? join(TARGET, "debug", "callbook");
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";

/** Starts `callbook demo`, and waits until it says that its network runs on. */
export async function startDemo(superpeers = 3, children = 4) {
  const child = spawn(CALLBOOK, ["demo", "--superpeers", `${superpeers}`, "--children", `${children}`], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
  let said = "";
  child.stdout.on("data", (text) => (said += text));
  const folders = [];
  // What to do next is no result: it is told on standard error.
  for await (const line of createInterface({ input: child.stderr })) {
    said += `${line}\n`;
    const folder = line.match(/--data (\S+) /)?.[1];
    if (folder) folders.push(folder);
    if (line.startsWith("Everybody's password")) break;
  }
  if (folders.length === 0) throw new Error(`${CALLBOOK} demo ended early (${await ended}):\n${said}`);
  // What it says from here on nobody reads, and nobody may be kept waiting for it.
  child.stderr.resume();
  const stop = async () => {
    child.kill("SIGINT");
    await ended;
  };
  return { root: dirname(folders[0]), stop };
}

/** Runs a command of a daemon of the demo. */
export async function callbook(folder, ...words) {
  const { stdout } = await promisify(execFile)(CALLBOOK, ["--data", folder, ...words]);
  return stdout.trim();
}

/** Waits until a name that nobody has is called absent: for a moment after a storer was killed nobody can tell. */
export async function untilAbsent(folder, name) {
  for (;;) {
    const failed = await callbook(folder, "lookup", name).then(() => null, (error) => error);
    if (failed?.code === 3) return;
    if (failed?.code !== 5) throw failed ?? new Error(`${name} is found`);
  }
}

/** A browser that looks for nothing outside, with a profile of its own. */
export async function startBrowser() {
  const profile = await mkdtemp(join(tmpdir(), "callbook-browser-"));
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...quiet, `--disk-cache-dir=${profile}`] });
  const stop = async () => {
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { browser, stop };
}
