// What a script adds to pages that work without one: local times, keys, copying, search as you type, steps that open
// in place, and word of new steps.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Times in the reader's own zone; UTC stays in the title.
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
function localTimes(root) {
  for (const time of all("time[data-shown]", root)) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime())) time.textContent = (time.dataset.shown === "clock" ? clock : day).format(moment);
  }
}

function enliven(root) {
  localTimes(root);
  for (const button of all("[data-copy]", root)) button.hidden = false;
}
enliven(document);

// Light or dark.
const toggle = document.querySelector("[data-theme-toggle]");
if (toggle) {
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* It holds for this page. */ }
  });
}

// Copying.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    getSelection()?.selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// The same page anew, from the server.
async function fetched(url, signal) {
  const response = await fetch(url, { signal, headers: { accept: "text/html" } });
  if (response.redirected && new URL(response.url).pathname === "/login") location.reload();
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

// A step that is opened shows its request and response in place.
document.addEventListener("toggle", async (event) => {
  const more = event.target.open && event.target.querySelector(":scope > [data-fill]");
  if (!more || more.dataset.filled) return;
  more.dataset.filled = "yes";
  try {
    const page = await fetched(more.dataset.fill);
    for (const part of all("section.change, section.wire", page)) {
      part.removeAttribute("id");
      const own = document.importNode(part, true);
      enliven(own);
      more.append(own);
    }
  } catch {
    delete more.dataset.filled; // The link leads there.
  }
}, true);

// Search as you type.
for (const form of all("form[data-live]")) {
  let waiting, running;
  const results = document.querySelector("#results");
  const search = async () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    const url = form.getAttribute("action") + (query.size ? `?${query}` : "");
    running?.abort();
    running = new AbortController();
    results.setAttribute("aria-busy", "true");
    try {
      const found = (await fetched(url, running.signal)).querySelector("#results, main");
      const own = document.importNode(found, true);
      enliven(own);
      results.replaceChildren(...own.childNodes);
      results.removeAttribute("aria-busy");
      history.replaceState(null, "", url);
    } catch (error) {
      if (error.name !== "AbortError") form.submit();
    }
  };
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 250); });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); search(); });
}

// Keys.
const keys = document.querySelector("#keys");
const help = document.querySelector("[data-help]");
if (help && keys) {
  help.hidden = false;
  help.addEventListener("click", () => keys.showModal());
}
const rows = () => all("[data-row]").filter((row) => row.checkVisibility());
const handle = (row) => row.querySelector("summary, a") ?? row;
const current = () => document.activeElement?.closest?.("[data-row]");
function move(by) {
  const list = rows();
  const at = list.indexOf(current());
  const row = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(at + by, 0), list.length - 1)];
  if (!row) return;
  const target = handle(row);
  if (target === row) row.tabIndex = -1;
  target.focus();
  row.scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys?.open) return;
  if (event.target.closest?.("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = {
    j: () => move(1),
    k: () => move(-1),
    o: () => { const href = current()?.dataset.href; if (href) location.assign(href); },
    n: () => document.querySelector("a[rel=next]")?.click(),
    "/": () => (document.querySelector("main input[type=search]") ?? document.querySelector("#find"))?.focus(),
    "?": () => keys?.showModal(),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// Word of new steps in a session that is going on.
const tail = document.querySelector("[data-tail]");
if (tail) {
  let count = 0;
  const source = new EventSource(`/v1/tail?${new URLSearchParams({ session: tail.dataset.tail })}`);
  const seen = () => {
    count += 1;
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = `${count} new: load again`;
    tail.replaceChildren("· ", link);
  };
  source.addEventListener("message", seen);
  source.addEventListener("exchange", seen);
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) source.close(); });
}
