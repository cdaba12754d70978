// Follows the results while they change: asks whether the page is another one now, and puts its
// content in place. What the reader sorted, filtered, opened and scrolled to stays.
const EVERY = 3000;
const state = () => {
  const tables = [...document.querySelectorAll("main table")].map((table) => {
    const heading = table.querySelector("th[aria-sort]");
    const line = table.closest(".scroll")?.previousElementSibling;
    const input = line?.classList.contains("filter") ? line.querySelector("input") : null;
    return {
      column: heading ? heading.cellIndex : -1,
      up: heading?.getAttribute("aria-sort") === "ascending",
      text: input?.value ?? "",
      focused: input !== null && document.activeElement === input,
      left: table.closest(".scroll")?.scrollLeft ?? 0,
    };
  });
  const open = [...document.querySelectorAll("main details")].map((d) => d.open);
  return { tables, open, x: window.scrollX, y: window.scrollY };
};
const restore = (kept) => {
  document.querySelectorAll("main table").forEach((table, i) => {
    const was = kept.tables[i];
    if (!was) return;
    const heading = table.tHead?.rows[0].cells[was.column];
    if (heading?.hasAttribute("data-sortable")) sortBy(heading, was.up);
    const line = table.closest(".scroll")?.previousElementSibling;
    if (line?.classList.contains("filter") && was.text) {
      const input = line.querySelector("input");
      input.value = was.text;
      filterBy(table, was.text, line.querySelector("output"));
      if (was.focused) input.focus();
    }
    const scroll = table.closest(".scroll");
    if (scroll) scroll.scrollLeft = was.left;
  });
  document.querySelectorAll("main details").forEach((d, i) => { d.open = kept.open[i] ?? d.open; });
  window.scrollTo(kept.x, kept.y);
};

let tag = `"${document.body.dataset.version}"`;
const follow = async () => {
  const said = document.getElementById("live");
  try {
    const answer = await fetch(location.pathname, { headers: { "If-None-Match": tag }, cache: "no-store" });
    if (answer.status === 200) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      tag = answer.headers.get("ETag") ?? tag;
      document.body.dataset.version = page.body.dataset.version;
      const kept = state();
      if (window.showRun) await window.showRun(true);
      else {
        document.getElementById("main").replaceWith(document.adoptNode(page.getElementById("main")));
        document.querySelector("header").replaceWith(document.adoptNode(page.querySelector("header")));
        equip(document.getElementById("main"));
      }
      restore(kept);
      announce("The results have changed");
    }
    said.classList.remove("stale");
    said.textContent = "Live: this page follows the results.";
  } catch {
    said.classList.add("stale");
    said.textContent = "The server does not answer: what you see is what was last known.";
  }
  setTimeout(follow, EVERY);
};
setTimeout(follow, EVERY);
