// Score against simulations and against time: one chart for each task, with the Pareto front of time and score.

const AGAINST = {
  budget: ["simulations", "Mean score against the number of simulations of the fit; vertical lines are 95 % intervals, grey ones published scores of the same classifier, the strongest of them thick: the lowest, and the lowest that is not sequential."],
  fit_seconds: ["seconds of a fit", "Mean score against the time of a fit, for every number of simulations. The stepped line is the Pareto front: no method is both faster and better by its mean. Times compare only on one machine."],
  sample_seconds: ["seconds of drawing", "Mean score against the time of drawing the samples of one observation. The stepped line is the Pareto front. Times compare only on one machine."],
};

function drawLegend() {
  const shown = METHODS.map((_, i) => i).filter(showsMethod);
  $("#legend").replaceChildren(...shown.map((method) => {
    const pressed = !state.hidden.has(method);
    const button = el("button", { type: "button", "aria-pressed": String(pressed), title: METHODS[method].spec },
      el("span", { class: "key" }, keySymbol(method)), METHODS[method].label);
    button.addEventListener("click", () => {
      state.hidden.has(method) ? state.hidden.delete(method) : state.hidden.add(method);
      button.setAttribute("aria-pressed", String(!state.hidden.has(method)));
      drawCurves();
    });
    return button;
  }));
}

function drawCurves() {
  const section = $("#curves"), grid = $("#grid");
  const cells = CELLS.filter((cell) => cell.metric === state.metric && cell.samples === Number(state.samples) && visible(cell.method) && showsTask(cell.task));
  const tasks = unique(cells.map((cell) => cell.task)).sort((a, b) => a - b);
  section.hidden = !CELLS.length;
  $("#curves-text").textContent = `${state.metric}: ${AGAINST[state.against][1]}`;
  const figures = tasks.map(() => el("figure"));
  grid.replaceChildren(...figures);
  tasks.forEach((task, k) => drawCurve(figures[k], task, cells.filter((cell) => cell.task === task)));
}

function drawCurve(figure, task, cells) {
  const x = state.against;
  const known = cells.filter((cell) => cell[x] !== null && cell[x] > 0);
  const methods = unique(known.map((cell) => cell.method)).sort((a, b) => a - b);
  // beside each other, where several methods have the same number of simulations
  const place = (cell) => cell[x] * (x === "budget" ? 1.07 ** (methods.indexOf(cell.method) - (methods.length - 1) / 2) : 1);
  const budgets = unique(known.map((cell) => cell.budget)).sort((a, b) => a - b);
  const ticks = x === "budget" && budgets.length < 7 ? { ticks: budgets, tickFormat: "~s" } : { ticks: 4, tickFormat: "~s" };
  if (x === "budget") ticks.domain = [budgets[0] / 1.8, budgets.at(-1) * 1.8];
  const title = (cell) => `${METHODS[cell.method].label}\n${state.metric} ${format(cell.mean)}${intervalText(cell)}\n${format(cell.budget)} simulations\nfit ${seconds(cell.fit_seconds)}, draws ${seconds(cell.sample_seconds)}`;
  const marks = [
    Plot.gridY({ strokeOpacity: 0.12 }),
    Plot.link(known.filter((cell) => cell.low !== null), { x1: place, x2: place, y1: "low", y2: "high", stroke: "method", strokeOpacity: 0.5 }),
    x === "budget"
      ? Plot.line(known, { x: place, y: "mean", z: "method", stroke: "method", sort: "budget", strokeWidth: 1.4 })
      : Plot.line(front(known, x), { x, y: "mean", curve: "step-after", stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.6 }),
    Plot.dot(known, { x: place, y: "mean", fill: "method", symbol: "method", r: 4, ...tip(title) }),
  ];
  if (x === "budget") marks.splice(1, 0, ...published(task));
  chart(figure, [TASKS[task].spec], `${state.metric} against ${AGAINST[x][0]} on ${TASKS[task].spec}`,
    { height: 230, x: { type: "log", label: AGAINST[x][0], ...ticks }, y: { label: brief(state.metric), nice: true, ticks: 5 }, marks },
    (cell) => cell.method !== undefined && showCell(task, cell.method, state.metric, cell.budget, cell.samples));
}

/** Return the marks of published scores with the classifier of the metric, at our numbers of simulations and samples. */
function published(task) {
  const ours = unique(CELLS.filter((cell) => cell.task === task).map((cell) => cell.budget));
  const theirs = DATA.published.filter((each) => each.task === TASKS[task].spec && each.metric === state.metric && each.samples === Number(state.samples) && ours.includes(each.budget));
  const title = (each) => `${each.method}, ${each.strongest ? "strongest " : ""}published\n${format(each.mean)}\n${each.sequential === "yes" ? "sequential" : "not sequential"}\nconfiguration: ${each.choice}\n${each.origin}`;
  const mark = (some, opacity, width) => Plot.ruleY(some, { x1: (each) => each.budget * 0.72, x2: (each) => each.budget * 1.39, y: "mean",
    stroke: "currentColor", strokeOpacity: opacity, strokeWidth: width, title, tip: { fill: "var(--paper)", stroke: "var(--line)" } });
  return [mark(theirs.filter((each) => !each.strongest), 0.4, 1), mark(theirs.filter((each) => each.strongest), 0.75, 2)];
}

/** Return the cells for which no other one is both faster and better. */
function front(cells, x) {
  const sorted = [...cells].sort((a, b) => a[x] - b[x] || a.mean - b.mean);
  let best = Infinity;
  return sorted.filter((cell) => cell.mean < best && ((best = cell.mean), true));
}

function initCurves() {
  for (const radio of $$('input[name="against"]')) {
    radio.addEventListener("change", () => {
      state.against = radio.value;
      drawCurves();
    });
  }
}
