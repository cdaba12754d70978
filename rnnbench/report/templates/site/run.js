// A run's page, or the list of a task's runs, from the files in data/. Whatever a file says is put
// into the page as text; only what rnnbench has drawn, which it escaped itself, is put in as markup.
const files = JSON.parse(document.getElementById("run").dataset.files);
let receive = () => {};
window.rnnbench = (value) => receive(value);

const make = (tag, ...inside) => {
  const element = document.createElement(tag);
  for (const part of inside) {
    if (part instanceof Node || typeof part === "string") element.append(part);
    else Object.assign(element, part);
  }
  return element;
};
const other = (text) => make("bdi", String(text));

// Script files are asked for one after the other: each hands its value to `rnnbench`.
let queue = Promise.resolve();
const load = (path) => {
  queue = queue.catch(() => {}).then(() => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const version = document.body.dataset.version;
    script.src = version ? `${path}?${version}` : path;
    script.onload = () => { script.remove(); reject(new Error(`${path} is empty`)); };
    script.onerror = () => { script.remove(); reject(new Error(`${path} cannot be read`)); };
    receive = (value) => { receive = () => {}; resolve(value); };
    document.head.append(script);
  }));
  return queue;
};

const number = (value, digits = 5) => {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6)) return value.toExponential(3);
  return String(Number(value.toPrecision(digits)));
};
const COSTS = {
  train_seconds: ["Training", "s"], wall_seconds: ["In all", "s"], device_seconds: ["Device time", "s"],
  peak_memory_bytes: ["Peak memory", "bytes"], latency_seconds: ["Latency", "s a sequence"],
  step_latency_seconds: ["Latency of a step", "s"], flops: ["Floating-point operations", ""],
};
const cost = (name, value) => {
  const plain = name.replaceAll("_", " ");
  const [label, unit] = COSTS[name] ?? [plain[0].toUpperCase() + plain.slice(1), ""];
  return [label, `${Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : number(value, 4)} ${unit}`];
};

const unpack = (data, id) => {
  const [status, seed, started, ended, attempt, chunk, reason, settings, command, told, figures,
    baselines, costs, selection, best, sweep, environment, made] = data.runs[id];
  const of = (place) => data.shared[place];
  const [info, names, splits] = of(told);
  return {
    id, status, seed, started, ended, attempt, chunk, reason: of(reason), settings: settings.map(of).map(([head, ...told]) => [...of(head), told.map(of)]),
    command: command.map(of).join(" "), info, names, splits, figures,
    baselines: of(baselines), costs: data.costs.map((n, i) => [n, costs[i]]).filter(([, v]) => v !== null),
    selection: [...of(selection), ...best], sweep: of(sweep), environment: of(environment), made: of(made),
  };
};
const when = (text) => (text ? `${text.replace("T", " ")} UTC` : "");
const lastDay = (run) => (run.ended.includes("T") || !run.ended ? run.ended : run.started.slice(0, 11) + run.ended);
const titleOf = (run) => {
  const names = run.settings.filter(([what]) => what === "Architecture" || what === "Trick");
  return names.map(([, name]) => name.replace(/, version \d+$/, "")).join(" + ");
};
const pairs = (told) => make("dl", ...told.map(([label, value]) => make("div", make("dt", other(label)), make("dd", other(value)))));
const section = (title, id, ...inside) => {
  const found = make("section", make("h2", title, { id }), ...inside);
  found.setAttribute("aria-labelledby", id);
  return found;
};
const table = (label, head, rows, kind = "results") => {
  const heading = ([text, kind]) => {
    const th = make("th", text, { scope: "col", className: kind });
    th.dataset.sortable = "";
    return th;
  };
  const cell = (value, place) => {
    const kind = head[place][1];
    const [shown, key] = Array.isArray(value) ? value : [value, value];
    const made = place ? make("td", { className: kind }) : make("th", { scope: "row" });
    made.append(shown instanceof Node ? shown : other(shown ?? "–"));
    if (kind === "number" && key !== null && key !== undefined && !(key instanceof Node)) made.dataset.value = key;
    return made;
  };
  const body = make("tbody", ...rows.map((row) => make("tr", ...row.map(cell))));
  const made = make("div", { className: "scroll", tabIndex: 0 },
    make("table", { className: kind }, make("thead", make("tr", ...head.map(heading))), body));
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", label);
  return made;
};

const metrics = (run) => {
  const head = [["Metric", "text"], ...run.splits.map((s) => [s, "number"])];
  const known = Object.fromEntries(run.info.map((m) => [m.name, m]));
  const rows = run.names.map((name, i) => {
    const { unit, higher_is_better: up } = known[name] ?? {};
    const better = up === null ? "neither way" : up ? "higher" : "lower";
    const way = name in known ? `${better} is better` : "as trained on";
    const label = make("span", other(name), make("span", `${unit ? `${unit}, ` : ""}${way}`, { className: "mark" }));
    return [label, ...run.figures.map((f) => [number(f[i]), f[i]])];
  });
  const trivial = new Set(Object.values(run.baselines).flatMap((b) => Object.keys(b)));
  for (const name of trivial) {
    const first = run.info[0]?.name;
    const label = make("span", other(name), make("span", `trivial baseline, ${first}`, { className: "mark" }));
    rows.push([label, ...run.splits.map((s) => run.baselines[s]?.[name]?.[first]).map((v) => [number(v), v])]);
  }
  return table("Figures", head, rows, "results short");
};

const showRun = (run, task, page, place) => {
  document.title = `${titleOf(run)} on ${task}, seed ${run.seed}`;
  document.getElementById("name").replaceChildren(other(document.title));
  const failed = !["done", "pruned", "interrupted"].includes(run.status);
  document.getElementById("status").replaceChildren(
    make("span", run.status, { className: failed ? "badge failed" : "badge" }),
    ` ${when(run.started)}${run.ended ? ` to ${when(run.ended)}` : ""}${run.attempt > 1 ? `, attempt ${run.attempt}` : ""}`);
  const parts = [], rest = [];
  if (run.reason) parts.push(make("p", other(run.reason), { className: "lead" }));
  if (run.splits.length) parts.push(section("Figures", "figures-of", metrics(run)));
  const [metric, , value, step] = run.selection;
  if (metric && value !== null) {
    parts.push(make("p", { className: "key" }, "Best validation ", other(metric), `: ${number(value)} at step ${step}; its weights are the run's.`));
  }
  rest.push(section("Again", "again", make("p", { className: "key" }, "This command makes the same run; finished, it is shown and not run again."),
    make("pre", run.command, { className: "command" })));
  rest.push(section("Configuration", "configuration", make("div", { className: "config" },
    ...run.settings.map(([what, name, told]) => make("div", make("h3", `${what}${name ? " " : ""}`, name ? other(name) : ""),
      told.length ? pairs(told) : make("p", "no settings", { className: "key" }))))));
  rest.push(section("Cost", "cost", pairs(run.costs.map(([n, v]) => cost(n, v)))));
  const environment = make("div", { className: "environment" }, pairs([...run.environment, ["Run", run.id], ["Started by", run.sweep[0] ? `the sweep ${run.sweep[0]}` : run.made || "not recorded"]]));
  rest.push(section("Environment and provenance", "environment", environment));
  const links = make("p", { className: "links" }, make("a", "All of ", other(task), { href: page }),
    make("a", "All runs on it", { href: `#${place}` }));
  if (run.sweep[0]) links.append(make("a", "Sweep ", other(run.sweep[0]), { href: run.sweep[1] }));
  rest.push(links);
  return [parts, rest];
};

const showList = (data, task, page, place) => {
  document.title = `Runs on ${task}`;
  document.getElementById("name").replaceChildren("Runs on ", other(task));
  document.getElementById("status").replaceChildren(make("a", "The leaderboard", { href: page }));
  const runs = Object.keys(data.runs).map((id) => unpack(data, id));
  const first = runs.find((r) => r.info.length)?.info[0].name ?? "result";
  const at = (run, split) => {
    const value = run.figures[run.splits.indexOf(split)]?.[run.names.indexOf(first)] ?? null;
    return [number(value), value];
  };
  const head = [["Run", "text"], ["Seed", "number"], ["How it ended", "text"], [`${first}, valid`, "number"],
    [`${first}, test`, "number"], ["Training, s", "number"], ["Sweep", "text"], ["Ended", "text"]];
  const rows = runs.map((run) => {
    const seconds = run.costs.find(([n]) => n === "train_seconds")?.[1] ?? null;
    const link = make("a", other(titleOf(run)), { href: `#${place}/${encodeURIComponent(run.id)}` });
    return [link, [run.seed, run.seed], run.status, at(run, "valid"), at(run, "test"), [number(seconds, 3), seconds],
      run.sweep[0] ?? "–", when(lastDay(run)) || "–"];
  });
  return [[table(`Runs on ${task}`, head, rows)], []];
};

const show = async (kept) => {
  const [place, id] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const main = document.getElementById("run");
  const figures = document.getElementById("figures");
  const trail = document.getElementById("place");
  const rest = document.getElementById("rest");
  if (!kept) for (const part of [figures, rest]) part.replaceChildren();
  if (!Object.hasOwn(files, place)) {
    trail.replaceChildren("Runs");
    const lines = Object.entries(files).map(([name, [task]]) => make("li", make("a", "Runs on ", other(task), { href: `#${name}` })));
    main.replaceChildren(...(place ? [make("p", "There is no such task here.")] : []), make("ul", ...lines));
    return;
  }
  const [task, page] = files[place];
  trail.replaceChildren(make("a", other(task), { href: page }), id ? " › run" : " › runs");
  try {
    const data = await load(`data/${place}.js`);
    const known = id !== undefined && Object.hasOwn(data.runs, id);
    if (id !== undefined && !known) {
      main.replaceChildren(make("p", "There is no run ", other(id), " here."));
      return;
    }
    const run = known ? unpack(data, id) : null;
    const [first, last] = run ? showRun(run, task, page, place) : showList(data, task, page, place);
    main.replaceChildren(...first);
    rest.replaceChildren(...last);
    equip(main);
    if (run) {
      const drawn = await load(`data/${place}.plots${run.chunk}.js`);
      figures.innerHTML = drawn[id] ?? "";
    } else figures.replaceChildren();
  } catch (error) {
    main.replaceChildren(make("p", `${error.message}. Was the site copied without its folder data?`));
  }
};
window.addEventListener("hashchange", () => { window.scrollTo(0, 0); show(false); });
window.showRun = show;
show(false);
