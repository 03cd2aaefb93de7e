// Screenshots of every page, for people to look at: node shots.mjs FOLDER
import { mkdirSync } from "node:fs";
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
  for (const [mode, colorScheme, viewport] of [["light", "light", { width: 1280, height: 860 }], ["dark", "dark", { width: 1280, height: 860 }], ["phone", "light", { width: 390, height: 800 }]]) {
    const context = await browser.newContext({ colorScheme, viewport, timezoneId: "Europe/Berlin", locale: "en-GB" });
    const page = await context.newPage();
    await logIn(page, collector, token, async () => page.screenshot({ path: join(folder, `login-${mode}.png`) }));
    const session = `/sessions/${encodeURIComponent(SESSION)}`;
    for (const [name, path, before] of [
      ["overview", "/"], ["sessions", "/sessions"], ["search", "/search?q=payments"], ["session", session],
      ["step", session, () => page.locator("details.step", { hasText: "patched Deployment web" }).locator("summary").first().click().then(() => page.locator("table.diff").waitFor())],
      ["exchange", "/exchanges/e-000005"], ["change", "/exchanges/e-000009"], ["exec", "/exchanges/e-000007"],
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
