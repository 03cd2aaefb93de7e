// Screenshots of every page, for people to look at: node shots.mjs FOLDER
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Collector } from "./collector.mjs";
import { launch, logIn } from "./browser.mjs";
import { SESSION, fill } from "./records.mjs";

const folder = process.argv[2] ?? "shots";
mkdirSync(folder, { recursive: true });
const collector = await Collector.start();
const browser = await launch();
try {
  await fill(collector);
  const token = collector.token("admin", "grace");
  const pem = readFileSync(collector.file("auditor/unsealing-key.pem"), "utf8");
  for (const [mode, colorScheme, viewport] of [["light", "light", { width: 1280, height: 860 }], ["dark", "dark", { width: 1280, height: 860 }], ["phone", "light", { width: 390, height: 800 }]]) {
    const context = await browser.newContext({ colorScheme, viewport, timezoneId: "Europe/Berlin", locale: "en-GB" });
    const page = await context.newPage();
    await logIn(page, collector, token, async () => page.screenshot({ path: join(folder, `login-${mode}.png`) }));
    const session = `/sessions/${encodeURIComponent(SESSION)}`;
    for (const [name, path, before] of [
      ["overview", "/"], ["sessions", "/sessions"], ["search", "/search?q=payments"], ["session", session],
      ["step", session, () => page.locator("details.step", { hasText: "patched Deployment web" }).locator("summary").first().click().then(() => page.locator("table.diff").waitFor())],
      ["exchange", "/exchanges/e-000005"], ["change", "/exchanges/e-000009"], ["exec", "/exchanges/e-000007"],
      ["originals", "/exchanges/e-000005", async () => {
        await page.getByLabel(/private key/).fill(pem);
        await page.getByRole("button", { name: "Open", exact: true }).click();
        await page.locator("table.originals").waitFor();
        await page.locator("#originals").scrollIntoViewIfNeeded();
      }],
      ["terminal", "/exchanges/t-000000", async () => {
        await page.locator(".ap-overlay-start, .ap-playback-button").first().click();
        await page.waitForFunction(() => document.querySelector(".ap-term")?.textContent.includes("No such file"));
      }],
      ["filters", "/search?show=refused&since=24h", async () => {
        for (const name of ["refused today", "writes in shop"]) {
          if (!(await page.getByLabel("Name of the filter").isVisible())) await page.getByText("Save this filter").click();
          await page.getByLabel("Name of the filter").fill(name);
          await page.getByRole("button", { name: "Save", exact: true }).click();
        }
      }],
      ["object", "/objects?resource=secrets&namespace=shop&name=db"], ["user", "/who?user=alice%40example.com"], ["agent", "/who?agent=k8s-mcp-server"],
      ["verification", "/verification"], ["access-log", "/access-log"], ["tokens", "/tokens"], ["empty", "/sessions?q=zebra"], ["missing", "/sessions/none"],
      ["hostile", `/sessions/${encodeURIComponent(`"><script>document.title='owned'</script>`)}`], ["hostile-exchange", "/exchanges/h-000000"], ["refused", "/exchanges/h-000002"],
    ]) {
      await page.goto(collector.base + path);
      await before?.();
      await page.screenshot({ path: join(folder, `${name}-${mode}.png`), fullPage: process.env.FULL === "1" });
    }
    await context.close();
  }
} finally {
  await browser.close();
  await collector.close();
}
