// A browser of the machine's own, without anything of its user, and without calls of its own to the network.

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

/** Every request with a token: logins are counted, and tests are many. */
export function present(page, token) {
  return page.context().setExtraHTTPHeaders({ authorization: `Bearer ${token}` });
}
