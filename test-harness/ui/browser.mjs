// A browser of the machine's own, without anything of its user, and without calls of its own to the network.

import { chromium } from "playwright-core";

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Signs in as a person does. */
export async function signIn(page, collector, token) {
  await page.context().setExtraHTTPHeaders({ authorization: `Bearer ${token}` });
}
