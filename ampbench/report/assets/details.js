// One click away from each number: command, specs, versions, seeds, classifier, dates, commits.

const RUNS = DATA.runs;
const text = (column, i) => DATA.texts[RUNS[column][i]];
const dialog = $("#dialog");

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);
const unique = (values) => [...new Set(values)];

/** Return the command that repeats runs of one task and method. */
function commandOf(runs) {
  const [first] = runs;
  const method = METHODS[RUNS.method[first]].spec;
  const requested = JSON.parse(text("request", first));
  const metrics = requested.length ? requested : DATA.metrics.filter((_, k) => RUNS.scores[k][first] !== null);
  const words = [["task", [TASKS[RUNS.task[first]].spec]], ["method", [method]], ["metric", metrics]];
  const numbers = ["budget", "seed", "observation", "samples"].map((name) => [name, unique(runs.map((i) => RUNS[name][i])).sort((a, b) => a - b)]);
  const options = [...words, ...numbers].flatMap(([name, values]) => values.map((value) => `--${name} ${quoted(String(value))}`));
  return `ampbench run ${options.join(" ")} --results DIR`;
}

function open(title, ...body) {
  $("#dialog-title").textContent = title;
  $("#dialog-body").replaceChildren(...body);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function list(entries) {
  const shown = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return el("dl", { class: "detail" }, ...shown.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function copied(command) {
  const block = el("pre", {}, command);
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(block);
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected: copy it by the keyboard";
    }
  });
  return el("div", {}, block, button);
}

/** Return the distinct values of several runs in one text. */
function distinct(values) {
  const found = unique(values.filter((value) => value !== ""));
  return found.length > 4 ? `${found.slice(0, 3).join("; ")}; and ${found.length - 3} more` : found.join("; ");
}

function made(runs, metric) {
  const each = (column) => distinct(runs.map((i) => text(column, i)));
  const dates = runs.map((i) => text("finished", i).slice(0, 16).replace("T", " ")).sort();
  const how = metric < 0 ? "" : distinct(runs.map((i) => DATA.texts[RUNS.provenance[metric][i]]));
  return [
    ["command", copied(commandOf(runs))],
    ["task", `${TASKS[RUNS.task[runs[0]]].spec}, version ${each("task_version")}`],
    ["method", METHODS[RUNS.method[runs[0]]].spec],
    ["every option", each("resolved")],
    [metric < 0 ? "" : DATA.metrics[metric], how],
    ["seeds", unique(runs.map((i) => RUNS.seed[i])).sort((a, b) => a - b).join(", ")],
    ["versions", each("versions")],
    ["part of the key", each("packages")],
    ["commit", each("commit") || "a release"],
    ["device", each("device")],
    ["finished", dates[0] === dates.at(-1) ? `${dates[0]} UTC` : `${dates[0]} to ${dates.at(-1)} UTC`],
    ["origin", each("origin") === "ours" ? "" : each("origin")],
  ].filter(([name]) => name);
}

function showRun(i) {
  const scores = DATA.metrics.map((name, k) => [name, RUNS.scores[k][i]]).filter(([, value]) => value !== null);
  const metric = scores.length ? DATA.metrics.indexOf(scores.some(([name]) => name === state.metric) ? state.metric : scores[0][0]) : -1;
  const where = `${TASKS[RUNS.task[i]].spec}, observation ${RUNS.observation[i]}`;
  const run = [
    ["key", RUNS.key[i]],
    ["status", RUNS.status[i] === "ok" ? "" : `failed (${text("kind", i)}): ${text("error", i)}`],
    ["scores", scores.map(([name, value]) => `${name} ${format(value)}`).join(", ")],
    ["observation", String(RUNS.observation[i])],
    ["simulations", `${format(RUNS.simulations[i])} used of ${format(RUNS.budget[i])}`],
    ["times", `fit ${seconds(RUNS.fit_seconds[i])}, draws ${seconds(RUNS.sample_seconds[i])}, metrics ${seconds(RUNS.metric_seconds[i])}`],
    ["findings", text("findings", i)],
  ];
  open(`${METHODS[RUNS.method[i]].label} on ${where}`, list([...run, ...made([i], metric)]));
}

function runTable(runs, metric) {
  const headings = ["observation", "seed", DATA.metrics[metric], "fit", "finished", "commit", "findings"];
  const lines = runs.map((i) =>
    el("tr", {},
      el("td", {}, String(RUNS.observation[i])),
      el("td", {}, String(RUNS.seed[i])),
      el("td", {}, el("button", { type: "button", class: "number", click: () => showRun(i) }, format(RUNS.scores[metric][i]))),
      el("td", {}, seconds(RUNS.fit_seconds[i])),
      el("td", {}, text("finished", i).slice(0, 10)),
      el("td", {}, text("commit", i) || "–"),
      el("td", { class: "text" }, text("findings", i)),
    ));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...headings.map((each) => el("th", { scope: "col" }, each)))), el("tbody", {}, ...lines));
  sortable(table);
  return el("div", { class: "scroll", tabindex: "0" }, table);
}

/** Show how the mean of a cell was made: the runs of a task, method, metric, budget and number of samples. */
function showCell(task, method, metric, budget, samples) {
  const k = DATA.metrics.indexOf(metric);
  const runs = RUNS.task.map((_, i) => i).filter((i) =>
    RUNS.task[i] === task && RUNS.method[i] === method && RUNS.budget[i] === budget && RUNS.samples[i] === samples &&
    RUNS.latest[i] && RUNS.scores[k][i] !== null);
  const cell = CELLS.find((each) => each.task === task && each.method === method && each.metric === metric && each.budget === budget && each.samples === samples);
  const numbers = cell ? [
    ["mean", `${format(cell.mean)}${cell.low === null ? "" : ` [${format(cell.low)}, ${format(cell.high)}]`}, of ${cell.seeds} ${cell.seeds === 1 ? "seed" : "seeds"} × ${cell.observations} observations`],
    ["verdict", cell.verdict],
    ["difference", cell.diff ? `${format(cell.diff)} [${format(cell.diff_low)}, ${format(cell.diff_high)}] to the lowest mean, p ${format(cell.p, 2)}` : ""],
    ["simulations", `${format(budget)}; ${format(samples)} samples`],
  ] : [];
  const title = `${metric} of ${METHODS[method].label} on ${TASKS[task].spec}`;
  open(title, list([...numbers, ...made(runs, k)]), el("h4", {}, "Runs"), runTable(runs, k));
}

function showRank(button) {
  const board = button.closest(".board").dataset;
  const method = Number(button.dataset.method);
  const runs = RUNS.task.map((_, i) => i).filter((i) =>
    RUNS.method[i] === method && RUNS.budget[i] === Number(board.budget) && RUNS.samples[i] === Number(board.samples) && RUNS.latest[i]);
  const tasks = unique(runs.map((i) => RUNS.task[i]));
  open(`Mean rank of ${METHODS[method].label}`, list([
    ["mean rank", button.dataset.rank],
    ["verdict", `${button.dataset.verdict}${button.dataset.p ? `, p ${button.dataset.p} for the difference to the lowest mean rank, adjusted for all pairs` : ""}`],
    ["rule", "Each pair of methods is compared on the tasks, seeds and observations that both have; the interval is for a population of such tasks."],
    ["tasks", tasks.map((task) => TASKS[task].spec).join(", ")],
    ...made(runs, DATA.metrics.indexOf(board.metric)).filter(([name]) => !["command", "task"].includes(name)),
  ]), el("h4", {}, "Commands"), ...tasks.map((task) => copied(commandOf(runs.filter((i) => RUNS.task[i] === task)))));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.number");
  if (!button) return;
  if (button.classList.contains("rank")) showRank(button);
  else if (button.dataset.metric) {
    const { task, method, metric, budget, samples } = button.dataset;
    showCell(Number(task), Number(method), metric, Number(budget), Number(samples));
  }
});
$("#dialog-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // outside of its content
});
