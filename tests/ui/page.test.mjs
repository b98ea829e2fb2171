// The daemon's page, as people use it: in a real browser, on a network of real processes.
//
// One demo network for all tests. With CALLBOOK_IMAGES=DIR what is seen is kept there as pictures.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { callbook, startBrowser, startDemo, untilAbsent } from "./network.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Milliseconds that something may take to show. */
const PATIENCE = 60_000;

/** A name that nobody has. */
const NOBODY = "nobody-of-this-name";

let demo, chrome, parent;

before(async () => {
  // One after the other: what has started is stopped, if the next one does not.
  demo = await startDemo();
  chrome = await startBrowser();
  // One of the superpeers was killed in the demo.
  for (const name of ["sp-1", "sp-2", "sp-3"]) {
    const url = await callbook(join(demo.root, name), "ui").catch(() => null);
    if (url) parent = url;
  }
  await untilAbsent(join(demo.root, "child-1"), NOBODY);
});

after(async () => {
  await Promise.allSettled([demo?.stop(), chrome?.stop()]);
});

const child = () => callbook(join(demo.root, "child-1"), "ui");

/** A page that must load nothing from elsewhere and complain of nothing. */
async function open(url, settings = {}) {
  const context = await chrome.browser.newContext({ viewport: { width: 1180, height: 900 }, ...settings });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const [own, wrong] = [new URL(url).origin, []];
  page.on("request", (request) => new URL(request.url()).origin === own || wrong.push(`asked ${request.url()}`));
  page.on("pageerror", (error) => wrong.push(`${error}`));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  await page.goto(url);
  const close = async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  };
  return { page, close };
}

/** What is wrong for people who can't see, or see little. */
async function faults(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
}

const keep = async (page, name) => {
  const folder = process.env.CALLBOOK_IMAGES;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
};

test("without its token the page says how to get one, and shows nothing", async () => {
  const url = (await child()).split("#")[0];
  const context = await chrome.browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  await page.locator("#trouble").getByText("callbook ui").waitFor({ timeout: PATIENCE });
  assert.equal(await page.locator("#cards div").count(), 0);
  await context.close();
});

test("the token leaves the address, and the page shows role, peers and names with their ends", async () => {
  const { page, close } = await open(await child());
  await page.locator("#cards div").first().waitFor();
  assert.ok(!page.url().includes("#"), page.url());
  assert.match(await page.locator("#who").textContent(), /^child, attached · network /);
  const held = page.locator("#held tbody tr");
  assert.match(await held.first().textContent(), /by \d of \d.*in \d+ (h|d)/);
  assert.ok((await page.locator("#known tbody tr").count()) >= 2);
  await page.locator("#filter").fill("no such peer");
  await page.locator("#known caption", { hasText: "0 of" }).waitFor();
  await page.reload();
  await page.locator("#cards div").first().waitFor();
  await close();
});

test("a name is looked up by keyboard alone, and each step of it is drawn and told", async () => {
  const { page, close } = await open(await child());
  await page.locator("#cards div").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "name");
  await page.keyboard.type("bob");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.ok(await page.locator("#fresh").isChecked());
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator("#answer table").waitFor();
  assert.match(await page.locator("#answer").textContent(), /bob: found in .* ms/);
  const bars = await page.locator("svg.trace rect").count();
  assert.ok(bars >= 1);
  assert.equal(await page.locator("#trace tbody tr").count(), bars);
  await page.locator("#name").fill(NOBODY);
  await page.keyboard.press("Enter");
  await page.locator("#answer .warn").waitFor();
  assert.match(await page.locator("#answer").textContent(), /nobody-of-this-name is not registered/);
  await page.locator("#name").fill("Not A Name!");
  await page.keyboard.press("Enter");
  await page.locator("#answer .bad").waitFor();
  await close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`a superpeer's charts have data, and axe finds nothing to mend (${colorScheme})`, async () => {
    const { page, close } = await open(parent, { colorScheme, reducedMotion: "reduce" });
    await page.locator("#none").waitFor({ state: "hidden" });
    assert.equal(await page.locator("figure canvas").count(), 5);
    // One of the four is nobody's that it has as a child, so that others are asked.
    await page.locator("#fresh").check();
    for (const name of ["alice", "bob", "carol", "dave"]) {
      await page.locator("#name").fill(name);
      await page.keyboard.press("Enter");
      await page.locator("#answer caption", { hasText: name }).waitFor();
      if (await page.locator("svg.trace rect").count()) break;
    }
    const wide = await page.locator("figure").evaluateAll((figures) => figures.map((figure) => figure.clientWidth - figure.plot.width));
    assert.deepEqual(wide, [0, 0, 0, 0, 0], "charts are as wide as their places");
    const seen = page.locator("figure", { hasText: "Peers online" });
    await seen.locator("summary").click();
    assert.match(await seen.locator("details tbody tr").first().textContent(), /seen[1-9]/);
    await seen.locator("summary").click();
    const faulty = await faults(page);
    assert.deepEqual(faulty, []);
    await keep(page, `ui-${colorScheme}`);
    await page.getByLabel("a day").check();
    await page.locator("figure").first().waitFor();
    await close();
  });
}

test("on a narrow screen nothing is wider than the page", async () => {
  const { page, close } = await open(parent, { viewport: { width: 380, height: 800 } });
  await page.locator("#none").waitFor({ state: "hidden" });
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= room, `${wide} of ${room}`);
  await keep(page, "ui-narrow");
  await close();
});
