// A browser of the machine's own, without anything of its user, and without calls of its own to the network.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Logs in as a person does, with a token. */
export async function logIn(page, collector, token, look) {
  await page.goto(collector.base);
  await look?.();
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in with a token" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

/** Someone's browser, closed in the end; it fails where a page breaks its policy or a script. */
export async function visit(browser, collector, token, options, use) {
  const context = await browser.newContext({ timezoneId: "Asia/Tokyo", locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d|\/v1\/tail/.test(message.text() + message.location().url)) wrong.push(message.text()); });
  page.on("dialog", (dialog) => { wrong.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
  try {
    if (token) await present(page, token);
    await use(page, (path) => page.goto(collector.base + path));
    assert.deepEqual(wrong, []);
  } finally {
    await context.close();
  }
}

/** Every request with a token: logins are counted, and tests are many. */
export function present(page, token) {
  return page.context().setExtraHTTPHeaders({ authorization: `Bearer ${token}` });
}
