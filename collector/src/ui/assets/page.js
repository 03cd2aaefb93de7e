// What a script adds to pages that work without one: local times, keys, copying, search as you type, steps that open
// in place, new steps as they happen, and filters under a name.

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

// The lines of a transcript that have some words.
function findLines(find) {
  const [input, told] = [find.querySelector("input"), find.querySelector("[role=status]")];
  const lines = all(".transcript > div", find.parentElement);
  find.hidden = lines.length < 2;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase();
    let shown = 0;
    for (const line of lines) {
      line.hidden = !line.textContent.toLowerCase().includes(words);
      shown += !line.hidden;
    }
    told.textContent = words ? `${shown} of ${lines.length} lines` : "";
  });
}

function enliven(root) {
  localTimes(root);
  for (const button of all("[data-copy]", root)) button.hidden = false;
  for (const find of all("[data-lines]", root)) findLines(find);
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
    for (const part of all("section.change, section.terminal, section.wire", page)) {
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

// What is going on: the parts of a page that change are taken anew when an exchange becomes known.
async function renew() {
  const page = await fetched(location.href);
  const before = all("[data-row]");
  const [focused, row] = [document.activeElement, current()];
  const opened = new Map(all("details[open][data-href]").map((step) => [step.dataset.href, step]));
  const folds = (part) => all("details:not([data-href])", part).filter((fold) => !fold.closest(".more"));
  for (const part of all("[data-part]")) {
    const found = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!found) continue;
    const own = document.importNode(found, true);
    enliven(own);
    const folded = folds(part);
    folds(own).forEach((fold, at) => { if (folded[at]) fold.open = folded[at].open; });
    for (const step of all("details[data-href]", own)) {
      const kept = opened.get(step.dataset.href);
      if (!kept) continue;
      kept.className = step.className;
      kept.querySelector("summary").replaceChildren(...step.querySelector("summary").childNodes);
      step.replaceWith(kept);
    }
    part.replaceWith(own);
  }
  const after = all("[data-row]");
  if (focused.isConnected) {
    focused.focus({ preventScroll: true });
  } else if (row) {
    const { href } = row.dataset;
    const again = href ? after.find((other) => other.dataset.href === href) : after[before.indexOf(row)];
    if (again) handle(again).focus({ preventScroll: true });
  }
  return after.length - before.length;
}

const tail = document.querySelector("[data-tail]");
if (tail) {
  const one = tail.dataset.tail;
  const [pause, noun] = one ? [300, "step"] : [3000, "session"];
  const url = one ? `/v1/tail?${new URLSearchParams({ session: one })}` : "/v1/tail";
  let source, waiting;
  const stop = () => {
    clearTimeout(waiting);
    source?.close();
  };
  const again = (after) => {
    stop();
    waiting = setTimeout(() => follow(true), after);
  };
  const follow = (anew) => {
    stop();
    if (document.hidden) return;
    source = new EventSource(url);
    source.addEventListener("open", async () => {
      if (!anew) return;
      try {
        const more = await renew();
        if (more > 0) tail.textContent = `${more} new ${noun}${more === 1 ? "" : "s"}`;
      } catch { /* The next event tries again. */ }
    });
    // What somebody has marked is not taken from under them.
    source.addEventListener("exchange", () => again(getSelection()?.isCollapsed === false ? 5000 : pause));
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) again(30_000); });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : follow(true)));
  follow(Boolean(one));
}

// Filters that a reader keeps under a name, in this browser.
for (const saved of all("[data-saved]")) {
  const path = saved.dataset.saved;
  const key = `filters ${path} ${document.querySelector(".self > span")?.textContent}`;
  const [list, name, said] = ["ul", "input", "[role=status]"].map((selector) => saved.querySelector(selector));
  const kept = () => {
    try {
      const filters = JSON.parse(localStorage.getItem(key));
      return Array.isArray(filters) ? filters.filter((one) => typeof one?.name === "string" && typeof one.query === "string") : [];
    } catch {
      return [];
    }
  };
  const keep = (filters) => {
    try {
      localStorage.setItem(key, JSON.stringify(filters));
    } catch {
      said.textContent = "This browser keeps nothing.";
    }
    draw();
  };
  const draw = () => {
    list.replaceChildren(...kept().map((filter) => {
      const [item, link, remove] = ["li", "a", "button"].map((element) => document.createElement(element));
      link.href = `${path}?${new URLSearchParams(filter.query)}`;
      link.textContent = filter.name;
      remove.type = "button";
      remove.textContent = "×";
      remove.setAttribute("aria-label", `Delete the filter ${filter.name}`);
      remove.addEventListener("click", () => keep(kept().filter((other) => other.name !== filter.name)));
      item.append(link, remove);
      return item;
    }));
  };
  const save = () => {
    const query = new URLSearchParams(location.search);
    query.delete("after");
    const called = name.value.trim();
    said.textContent = !called ? "Give it a name." : !query.size ? "Choose a filter above first." : "";
    if (said.textContent) return;
    name.value = "";
    keep([...kept().filter((other) => other.name !== called), { name: called, query: String(query) }]);
  };
  saved.querySelector("[data-save]").addEventListener("click", save);
  name.addEventListener("keydown", (event) => { if (event.key === "Enter") save(); });
  saved.hidden = false;
  draw();
}
