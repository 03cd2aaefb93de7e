// The web UI in a real browser: the questions it is made for, answered by clicking.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch, visit } from "./browser.mjs";
import { Collector } from "./collector.mjs";
import { PROMPTS, SESSION, Teller, fill, open } from "./records.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const session = `/sessions/${encodeURIComponent(SESSION)}`;
const PAGES = [
  "/", "/sessions", "/search?q=payments", session, `${session}?show=refused`, "/exchanges/e-000005", "/exchanges/e-000009", "/exchanges/e-000007", "/exchanges/t-000000", "/exchanges/t-000001",
  "/objects?resource=secrets&namespace=shop&name=db", "/who?user=alice%40example.com", "/who?agent=claude-code", "/verification", "/access-log", "/tokens",
  "/sessions?q=zebra", "/sessions/none", "/sessions?status=x", "/exchanges/h-000000", "/exchanges/h-000002",
];
/** Those that play a terminal are larger, and may run WebAssembly. */
const PLAYED = PAGES.filter((path) => path.includes("/t-"));
const LARGEST = 300 * 1024;

let collector, browser, tokens;
before(async () => {
  collector = await Collector.start();
  browser = await launch();
  tokens = { auditor: collector.token("auditor", "ada"), admin: collector.token("admin", "grace"), ingest: collector.token("ingest", "gateway") };
  await fill(collector);
});
after(async () => {
  await browser?.close();
  await collector?.close();
});

const as = (role, options, use) => visit(browser, collector, tokens[role], options, use);

test("which prompt deleted that namespace?", () => as("auditor", {}, async (page, go) => {
  await go("/");
  const step = page.locator("details.step", { hasText: "deleted namespace payments" }).first();
  await step.locator("summary").click();
  await page.getByRole("link", { name: PROMPTS.clean }).first().click();
  await page.waitForURL(/prompt=/);
  // The link is a state that can be shared, and shows what else the prompt did.
  const steps = await page.locator("details.step summary").allTextContents();
  assert.ok(steps.some((text) => text.includes("was refused: delete namespace kube-system")), steps.join("\n"));
}));

test("did any agent see this Secret?", () => as("auditor", {}, async (page, go) => {
  await go("/search?resource=secrets&name=db");
  await page.locator("details.step", { hasText: "read Secret db in shop" }).first().locator("summary").click();
  await page.getByRole("link", { name: "Everything done to this object" }).first().click();
  await page.getByRole("heading", { name: "Who read this Secret" }).waitFor();
  const readers = await page.locator(".readers").first().textContent();
  for (const who of ["alice@example.com", "bob@example.com", "deployer"]) assert.match(readers, new RegExp(who));
  assert.match(await page.locator("main").textContent(), /values masked/);
}));

test("lists that name a Secret are told, too", () => as("auditor", {}, async (page, go) => {
  await go("/objects?resource=secrets&namespace=payments&name=stripe");
  assert.match(await page.locator("main").textContent(), /listed secrets in payments, 3 values masked/);
}));

test("what did this session do, step by step?", () => as("auditor", {}, async (page, go) => {
  await go("/sessions");
  await page.locator("tr", { hasText: SESSION }).getByRole("link").first().click();
  const told = await page.locator("section.prompt, .steps").allTextContents();
  for (const what of ["listed pods in shop", "read Secret db in shop, 2 values masked", "was refused: create a token for ServiceAccount bob", "deleted namespace payments"]) {
    assert.ok(told.some((text) => text.includes(what)), what);
  }
  const headings = await page.locator("section.prompt h2").allTextContents();
  assert.deepEqual(headings.slice(1).map((text) => text.replace("Prompt ", "").replace(" asserted", "")), Object.values(PROMPTS));
  // What changed, in place.
  const patch = page.locator("details.step", { hasText: "patched Deployment web" });
  await patch.locator("summary").first().click();
  const diff = patch.locator("table.diff");
  await diff.waitFor();
  const fields = await diff.locator("tbody tr").allTextContents();
  assert.equal(fields.length, 2, fields.join("\n"));
  assert.match(fields.join("\n"), /resources\.limits\.memory.*128Mi.*512Mi/);
  await page.getByRole("link", { name: "2 refused" }).click();
  await page.waitForURL(/show=refused/);
  assert.equal(await page.locator("details.step").count(), 2);
}));

test("masked fields are marked in the response", () => as("auditor", {}, async (page, go) => {
  await go("/exchanges/e-000005");
  assert.equal(await page.locator(".json mark").count(), 2);
  assert.match(await page.locator("main").textContent(), /chaperone unseal --key unsealing-key.pem 'e-000005'/);
}));

test("what is missing is told where it is missing, and why", () => as("auditor", {}, async (page, go) => {
  await go("/verification");
  const text = await page.locator("main").textContent();
  assert.match(text, /Something is missing/);
  assert.match(text, /Missing\s*batch 1/);
  assert.match(text, /outbox was full/);
  assert.ok(text.includes(collector.kid));
  await go(`/sessions/${encodeURIComponent(`"><script>document.title='owned'</script>`)}`);
  assert.match(await page.locator(".gap").textContent(), /12 entries were lost/);
}));

test("the search finds while it is typed, and its URL can be shared", () => as("auditor", {}, async (page, go) => {
  await go("/sessions");
  await page.locator("main input[type=search]").pressSequentially("stri");
  await page.waitForURL(/q=stri/);
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  const shared = page.url();
  await as("auditor", { javaScriptEnabled: false }, async (other) => {
    await other.goto(shared);
    assert.match(await other.locator("tbody").textContent(), new RegExp(SESSION));
  });
}));

test("without a script every page works, in UTC", () => as("auditor", { javaScriptEnabled: false }, async (page, go) => {
  await go(session);
  assert.match(await page.locator("dl.head time").first().textContent(), /UTC$/);
  await page.locator("details.step", { hasText: "patched Deployment web" }).locator("summary").first().click();
  await page.getByRole("link", { name: "Request and response" }).first().click();
  await page.locator("section.wire").waitFor();
}));

test("times are the reader's own, UTC stays", () => as("auditor", {}, async (page, go) => {
  await go("/exchanges/e-000005");
  const time = page.locator("main time").first();
  assert.match(await time.getAttribute("title"), /UTC$/);
  assert.doesNotMatch(await time.textContent(), /UTC/);
}));

test("with keys alone", () => as("auditor", {}, async (page, go) => {
  await go(session);
  for (const key of ["j", "j", "j", "k", "Enter"]) await page.keyboard.press(key);
  const opened = page.locator("details.step[open]");
  assert.match(await opened.first().textContent(), /listed pods in shop/);
  await page.keyboard.press("o");
  await page.waitForURL(/\/exchanges\//);
  await page.keyboard.press("/");
  await page.keyboard.type("payments");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/search\?q=payments/);
  await page.locator("h1").click();
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" }).catch(() => {});
  assert.equal(await page.locator("dialog[open]").count(), 0);
}));

test("light or dark is kept", () => as("auditor", { colorScheme: "light" }, async (page, go) => {
  await go("/");
  const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await colour();
  await page.getByRole("button", { name: "Light or dark" }).click();
  assert.notEqual(await colour(), light);
  await go("/sessions");
  assert.notEqual(await colour(), light);
}));

test("hostile text stays text", () => as("auditor", {}, async (page, go) => {
  for (const path of ["/", "/sessions", `/sessions/${encodeURIComponent(`"><script>document.title='owned'</script>`)}`, "/exchanges/h-000000", "/exchanges/h-000001", "/exchanges/h-000002"]) {
    await go(path);
    assert.notEqual(await page.title(), "owned", path);
    assert.equal(await page.locator("main script, main iframe, main img, main b").count(), 0, path);
    const text = await page.locator("main").innerText();
    assert.doesNotMatch(text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/, path);
  }
  assert.match(await page.locator("main").innerText(), /<iframe src="javascript:alert\(1\)">/);
}));

test("roles: what is for administrators is for them", async () => {
  await as("auditor", {}, async (page, go) => {
    for (const path of ["/access-log", "/tokens"]) {
      assert.equal((await go(path)).status(), 403);
      assert.match(await page.locator("main").textContent(), /role admin/);
    }
    await go("/");
    assert.equal(await page.getByRole("link", { name: "Tokens" }).count(), 0);
  });
  await as("admin", {}, async (page, go) => {
    await go("/exchanges/e-000005");
    await go("/access-log");
    assert.match(await page.locator("tbody tr").nth(1).textContent(), /grace.*GET \/exchanges\/e-000005/s);
    await go("/tokens");
    assert.match(await page.locator("tbody").textContent(), /gateway/);
  });
});

test("log in where a shared link led, and out", () => as(null, {}, async (page, go) => {
  await go(`${session}?show=refused`);
  assert.match(page.url(), /\/login\?next=/);
  await page.getByLabel("Token").fill("no-such-token-0123456789");
  await page.keyboard.press("Enter");
  await page.getByText("not known").waitFor();
  await go(`${session}?show=refused`);
  await page.getByLabel("Token").fill(tokens.auditor);
  await page.keyboard.press("Enter");
  await page.waitForURL(/show=refused/);
  assert.equal(await page.locator("details.step").count(), 2);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(/\/login/);
  await go("/sessions");
  assert.match(page.url(), /\/login/);
  await page.evaluate(axe);
  assert.deepEqual((await page.evaluate(() => axe.run())).violations.map((violation) => violation.id).filter((id) => id !== "region"), []);
}));

test("nothing is shown to nobody, or to a gateway", async () => {
  for (const authorization of [undefined, `Bearer ${tokens.ingest}`]) {
    for (const path of PAGES) {
      const answer = await fetch(collector.base + path, { headers: authorization ? { authorization } : {}, redirect: "manual" });
      assert.ok([303, 401, 403].includes(answer.status), `${path} ${answer.status}`);
      assert.doesNotMatch(await answer.text(), /alice/);
    }
  }
});

test("pages are small, under a strict policy; their files are kept for good", async () => {
  const headers = { authorization: `Bearer ${tokens.admin}` };
  for (const path of PAGES.filter((path) => !PLAYED.includes(path))) {
    const answer = await fetch(collector.base + path, { headers });
    const text = await answer.text();
    const policy = answer.headers.get("content-security-policy");
    assert.match(policy, /script-src 'self'; style-src 'self'/, path);
    assert.doesNotMatch(policy, /unsafe/);
    assert.doesNotMatch(text, / style="| on[a-z]+="|<style|<script(?! src=| type="module" src=)/, path);
    let size = text.length;
    for (const [, url] of text.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
      const file = await fetch(collector.base + url);
      assert.match(file.headers.get("cache-control"), /immutable/);
      size += (await file.text()).length;
    }
    assert.ok(size < LARGEST, `${path}: ${size} bytes`);
  }
});

for (const [name, options] of [
  ["light", { colorScheme: "light" }], ["dark", { colorScheme: "dark" }], ["phone", { viewport: { width: 360, height: 740 }, hasTouch: true }],
]) {
  test(`accessible and without sideways scrolling: ${name}`, () => as("admin", options, async (page, go) => {
    for (const path of PAGES) {
      await go(path);
      for (const step of await page.locator("details.step > summary").all().then((all) => all.slice(0, 1))) {
        await step.click();
      }
      await page.evaluate(axe);
      const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      const told = found.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
      assert.deepEqual(told, [], path);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${path} is ${wide} px too wide`);
    }
  }));
}

test("a session of 50,000 steps opens in under a second, from any place", { timeout: 300_000 }, () => as("auditor", {}, async (page, go) => {
  const recorder = "0198f3c2-9999-7a43-9c55-0a1b2c3d4e5f";
  const t = new Teller("long", Date.now() - 86_400_000, { prefix: "l" });
  await collector.post(recorder, [open(t.at())]);
  for (let n = 0; n < 50; n++) {
    t.prompt = `part-${n}`;
    for (let i = 0; i < 1000; i++) t.tell("get", "configmaps", "shop", `c-${i}`, { pause: 900 });
    await collector.post(recorder, t.take());
  }
  const times = [];
  for (const path of ["/sessions/long", `/sessions/long?after=${(t.now - 60_000) * 1000}:`, "/sessions/long?prompt=part-30"]) {
    const began = Date.now();
    await go(path);
    times.push(Date.now() - began);
    assert.ok(await page.locator("details.step").count() > 50);
  }
  console.log(`pages of 50,000 steps: ${times.join(", ")} ms`);
  assert.ok(Math.max(...times) < 1000, `${times} ms`);
}));
