// The table of all runs, in pages, with the filters of the page and an order by any column.

const PAGE = 25;
const order = { column: "task", descending: false, page: 0 };

const RUN_COLUMNS = [
  ["task", (i) => TASKS[RUNS.task[i]].spec],
  ["method", (i) => METHODS[RUNS.method[i]].label],
  ["simulations", (i) => RUNS.budget[i]],
  ["seed", (i) => RUNS.seed[i]],
  ["observation", (i) => RUNS.observation[i]],
  ...DATA.metrics.map((name, k) => [name, (i) => RUNS.scores[k][i]]),
  ["fit (s)", (i) => RUNS.fit_seconds[i]],
  ["status", (i) => (RUNS.status[i] === "ok" ? (RUNS.latest[i] ? "ok" : "older version") : `failed: ${text("kind", i)}`)],
  ["finished", (i) => text("finished", i).slice(0, 16).replace("T", " ")],
];

const WORDS = ["method", "status"];

function chosenRuns() {
  const found = RUNS.task.map((_, i) => i).filter((i) =>
    showsTask(RUNS.task[i]) && showsMethod(RUNS.method[i]) && RUNS.budget[i] === Number(state.budget) && RUNS.samples[i] === Number(state.samples));
  const value = (RUN_COLUMNS.find(([name]) => name === order.column) ?? RUN_COLUMNS[0])[1];
  const keyed = found.map((i) => [value(i), i]);
  return keyed.sort(([a], [b]) => compareKeys(a, b, order.descending ? -1 : 1)).map(([, i]) => i);
}

function drawRuns() {
  $("#runs").hidden = !RUNS.key.length;
  const runs = chosenRuns(), pages = Math.max(1, Math.ceil(runs.length / PAGE));
  order.page = Math.min(order.page, pages - 1);
  const headings = RUN_COLUMNS.map(([name]) => {
    const sorted = order.column === name ? (order.descending ? "descending" : "ascending") : null;
    const button = el("button", { type: "button", click: () => sortRuns(name) }, name);
    return el("th", { scope: "col", "aria-sort": sorted, class: WORDS.includes(name) ? "words" : null }, button);
  });
  const lines = runs.slice(order.page * PAGE, (order.page + 1) * PAGE).map((i) => el("tr", { "data-run": i }, ...RUN_COLUMNS.map(([name, value], k) => {
    const shown = typeof value(i) === "string" ? value(i) : format(value(i));
    const isNumber = DATA.metrics.includes(name) && value(i) !== null;
    const content = k === 0 || isNumber ? el("button", { type: "button", class: "number", click: () => showRun(i) }, shown) : shown;
    return el(k === 0 ? "th" : "td", k === 0 ? { scope: "row" } : { class: WORDS.includes(name) ? "words" : null }, content);
  })));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...headings)), el("tbody", {}, ...lines));
  const turn = (by) => () => { order.page += by; drawRuns(); };
  $("#runs-table").replaceChildren(
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "All runs" }, table),
    el("p", { class: "pages" },
      el("button", { type: "button", click: turn(-1), disabled: order.page === 0 }, "Previous"),
      el("span", {}, `${format(runs.length)} runs with ${format(Number(state.budget))} simulations; page ${order.page + 1} of ${pages}`),
      el("button", { type: "button", click: turn(1), disabled: order.page >= pages - 1 }, "Next")));
}

function sortRuns(name) {
  order.descending = order.column === name && !order.descending;
  order.column = name;
  order.page = 0;
  drawRuns();
}
