// What the web UI does with scripts: opening sealed originals, following what goes on, keeping filters, playing terminals.

import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { openChaCha20Poly1305 } from "../../collector/src/ui/assets/unseal.js";
import { launch, visit } from "./browser.mjs";
import { Collector } from "./collector.mjs";
import { Teller, fill, open } from "./records.mjs";

let collector, browser, tokens, keys;
before(async () => {
  collector = await Collector.start();
  browser = await launch();
  tokens = { auditor: collector.token("auditor", "ada"), admin: collector.token("admin", "grace") };
  await fill(collector);
  collector.run(["keygen", "--sealing", "--out", "other"]);
  keys = { own: collector.file("auditor/unsealing-key.pem"), other: collector.file("other/unsealing-key.pem") };
});
after(async () => {
  await browser?.close();
  await collector?.close();
});

const as = (role, options, use) => visit(browser, collector, tokens[role], options, use);

test("the page's ChaCha20-Poly1305 is the one of RFC 8439", () => {
  // Its section 2.8.2.
  const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
  const key = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i);
  const [nonce, associated] = [bytes("070000004041424344454647"), bytes("50515253c0c1c2c3c4c5c6c7")];
  const sealed = bytes(
    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
  );
  assert.equal(new TextDecoder().decode(openChaCha20Poly1305(key, nonce, associated, sealed)), "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.");
  for (let at = 0; at < sealed.length; at += 7) {
    const changed = sealed.slice();
    changed[at] ^= 1;
    assert.equal(openChaCha20Poly1305(key, nonce, associated, changed), null, `byte ${at}`);
  }
  for (const length of [0, 1, 15, 16, 17, 63, 64, 65, 1000]) {
    const [own, number, text, more] = [randomBytes(32), randomBytes(12), randomBytes(length), randomBytes(length % 31)];
    const cipher = createCipheriv("chacha20-poly1305", own, number, { authTagLength: 16 });
    cipher.setAAD(more, { plaintextLength: length });
    const whole = Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
    const plain = openChaCha20Poly1305(new Uint8Array(own), new Uint8Array(number), new Uint8Array(more), new Uint8Array(whole));
    assert.deepEqual(Buffer.from(plain), text, `${length} bytes`);
  }
});

test("sealed originals open in the page with the auditor's key, and nothing is sent", () => as("auditor", {}, async (page, go) => {
  await go("/exchanges/e-000005");
  await page.waitForLoadState("networkidle");
  assert.doesNotMatch(await page.content(), /correct horse/);
  const asked = [];
  page.on("request", (request) => asked.push(`${request.method()} ${request.url()} ${request.postData() ?? ""}`));
  const [key, status, result] = [page.getByLabel(/private key/), page.locator("#originals [role=status]"), page.locator("[data-originals]")];
  const pem = readFileSync(keys.own, "utf8");

  for (const [text, said] of [
    [readFileSync(keys.other, "utf8"), /This key does not open it/],
    ["not a key", /not an X25519 private key/],
    ["", /not an X25519 private key/],
    ["AAAA", /not an X25519 private key/],
  ]) {
    await key.fill(text);
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await status.filter({ hasText: said }).waitFor();
    assert.equal(await result.textContent(), "");
    assert.equal(await key.inputValue(), "", "the key is forgotten");
  }

  await key.fill(pem);
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await result.getByText("correct horse battery staple", { exact: true }).waitFor();
  assert.match(await result.textContent(), /\$\.data\.password.*\$\.data\.username.*checkout/s);
  assert.equal(await key.inputValue(), "");
  await page.getByRole("button", { name: "Hide again" }).click();
  assert.equal(await result.textContent(), "");

  await page.locator("#originals input[type=file]").setInputFiles(keys.own);
  await result.getByText("correct horse battery staple", { exact: true }).waitFor();
  assert.deepEqual(asked, []);
  // Nothing of it is kept, or stands in the page.
  const secret = pem.split("\n")[1];
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML]));
  assert.ok(!kept.includes(secret));
  // The command says the same.
  const told = collector.run(["unseal", "--key", keys.own, "e-000005"]);
  assert.match(told, new RegExp(Buffer.from("correct horse battery staple").toString("base64")));
}));

test("a session that is going on: new steps appear by themselves", () => as("auditor", {}, async (page, go) => {
  const recorder = "0198f3c2-1111-7a43-9c55-0a1b2c3d4e5f";
  const t = new Teller("going-on", Date.now() - 4000, { prefix: "g" });
  t.discovery();
  t.tell("list", "pods", "shop", "", { response: { kind: "PodList", apiVersion: "v1", items: [] } });
  await collector.post(recorder, [open(t.at()), ...t.take()]);
  await go("/sessions/going-on");
  await page.locator(".chip.live").waitFor();
  const steps = page.locator(".steps:not(.inner) > details.step:not(.quiet)");
  assert.equal(await steps.count(), 1);
  // What is open stays open, and the row that has the focus keeps it.
  await steps.first().locator("summary").first().click();
  await steps.first().locator("section.wire").waitFor();

  t.tell("delete", "configmaps", "shop", "settings", {});
  await collector.post(recorder, t.take());
  await page.locator("details.step", { hasText: "deleted ConfigMap settings in shop" }).waitFor();
  assert.equal(await page.locator("details.step[open] section.wire").count(), 1);
  assert.match(await page.evaluate(() => document.activeElement.textContent), /listed pods in shop/);
  assert.match(await page.locator(".counts").textContent(), /5 steps.*1 write/s);
  assert.match(await page.locator(".position").textContent(), /1 to 5 of 5.*1 new step/s);
  // So does one that stands for several requests.
  await page.locator("details.step.quiet > summary").focus();

  // A step that was not over when the page was loaded ends before the reader's eyes.
  t.tell("create", "configmaps", "shop", "later", { response: { kind: "ConfigMap", apiVersion: "v1", metadata: { name: "later" } } });
  const [request, response] = t.take();
  await collector.post(recorder, [request]);
  const begun = page.locator("details.step", { hasText: "ConfigMap later" });
  await begun.and(page.locator(".warn")).waitFor();
  assert.match(await page.evaluate(() => document.activeElement.textContent), /3 requests to learn/);
  await collector.post(recorder, [response]);
  await begun.and(page.locator(".write")).waitFor();
  assert.equal(await steps.count(), 3);
}));

test("the list of sessions follows, too", () => as("auditor", {}, async (page, go) => {
  const listening = page.waitForResponse(/\/v1\/tail/);
  await go("/sessions");
  await listening;
  const row = page.locator("tr", { hasText: "just-begun" });
  assert.equal(await row.count(), 0);
  const t = new Teller("just-begun", Date.now() - 1000, { prefix: "j" });
  t.tell("get", "configmaps", "shop", "x");
  await collector.post("0198f3c2-2222-7a43-9c55-0a1b2c3d4e5f", [open(t.at()), ...t.take()]);
  await row.waitFor();
  assert.match(await row.textContent(), /● live/);
}));

test("filters are kept under a name, each a URL, for each reader", () => as("auditor", {}, async (page, go) => {
  await go("/search?show=refused");
  const saved = page.locator("[data-saved]");
  const save = async (name) => {
    await saved.getByLabel("Name of the filter").fill(name);
    await saved.getByRole("button", { name: "Save" }).click();
  };
  await saved.getByText("Save this filter").click();
  await save("  ");
  await saved.getByText("Give it a name.").waitFor();
  const hostile = "<img src=x onerror=alert(1)>";
  await save("what was refused");
  await save(hostile);
  await go("/search");
  await saved.getByText("Save this filter").click();
  await save("nothing");
  await saved.getByText("Choose a filter above first.").waitFor();
  assert.deepEqual(await saved.getByRole("listitem").getByRole("link").allTextContents(), ["what was refused", hostile]);
  await saved.getByRole("link", { name: "what was refused" }).click();
  await page.waitForURL(/\/search\?show=refused$/);
  assert.match(await page.locator("#results").textContent(), /was refused/);
  await saved.getByRole("button", { name: `Delete the filter ${hostile}` }).click();
  await page.reload();
  assert.deepEqual(await saved.getByRole("listitem").getByRole("link").allTextContents(), ["what was refused"]);
  await go("/sessions");
  assert.equal(await saved.getByRole("listitem").count(), 0, "sessions have their own");
}));

test("an exec without a terminal: command, output, errors apart, exit code", () => as("auditor", {}, async (page, go) => {
  await go("/exchanges/e-000007");
  const told = page.locator("section.terminal");
  assert.match(await told.textContent(), /exit code 0.*\$ sh -c cat \/sys\/fs\/cgroup\/memory\.max/s);
  assert.match(await told.locator(".transcript .out").textContent(), /134217728/);
  assert.match(await told.locator(".transcript .err").textContent(), /stderr.*Permission denied/);
  assert.equal(await page.locator("[data-player]").count(), 0);
  await told.getByLabel("Search these lines").fill("denied");
  await told.getByText("1 of 2 lines").waitFor();
  assert.equal(await told.locator(".transcript > div:visible").count(), 1);
}));

test("a terminal plays, and is read", () => as("auditor", {}, async (page, go) => {
  const answer = await go("/exchanges/t-000000");
  const told = page.locator("section.terminal");
  assert.match(await told.locator(".transcript").textContent(), /ls -1.*config.*server.*grüße.*No such file or directory/s);
  assert.match(await told.locator("h2").textContent(), /exit code 3/);
  assert.match(answer.headers()["content-security-policy"], /script-src 'self' 'wasm-unsafe-eval';/);
  const screen = page.locator(".ap-player");
  await screen.waitFor();
  await page.locator(".ap-overlay-start, .ap-playback-button").first().click();
  await page.waitForFunction(() => document.querySelector(".ap-term")?.textContent.includes("No such file"), null, { timeout: 20_000 });
  // Hostile output is text there, too.
  await go("/exchanges/t-000001");
  await page.locator(".ap-player").waitFor();
  await page.locator(".ap-overlay-start, .ap-playback-button").first().click();
  await page.locator("[data-ended]").waitFor();
  assert.notEqual(await page.title(), "owned");
  assert.equal(await page.locator("main img[src=x]").count(), 0);
}));

test("the recording is an asciicast, over HTTP and on the command line", async () => {
  const path = "/v1/export?format=asciicast";
  const headers = { authorization: `Bearer ${tokens.auditor}` };
  const text = await (await fetch(`${collector.base}${path}&exchange=t-000000`, { headers })).text();
  const [header, ...events] = text.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([header.version, header.term, header.command], [3, { cols: 72, rows: 12 }, "sh"]);
  assert.ok(events.some(([, code, data]) => code === "r" && data === "90x16"));
  assert.ok(events.some(([, code, data]) => code === "i" && data === "ls -1\r"));
  assert.match(events.filter(([, code]) => code === "o").map(([, , data]) => data).join(""), /grüße\r\ngrüße\r\n/);
  assert.equal(events.at(-1)[1] + events.at(-1)[2], "x3");
  const total = events.reduce((sum, [interval]) => sum + interval, 0);
  assert.ok(Math.abs(total - 5.2) < 0.01, `${total}`);
  assert.equal(collector.run(["export", "--format", "asciicast", "--exchange", "t-000000"]), text);
  // A session with one exec needs no exchange's id; one with several does.
  assert.match(collector.run(["export", "--format", "asciicast", "--session", "5f0c2a7e-checkout-incident"]), /134217728/);
  for (const [query, status] of [["&session=debug-in-the-pod", 404], ["&exchange=e-000005", 404], ["&exchange=none", 404], ["", 400], ["&exchange=t-000000&verb=get", 400]]) {
    assert.equal((await fetch(`${collector.base}${path}${query}`, { headers })).status, status, query);
  }
  assert.equal((await fetch(`${collector.base}/v1/export?format=har&exchange=t-000000`, { headers })).status, 400);
});
