// The charts of a task, drawn when its section is opened: single scores, scores by observation, calibration, pairs.

function runsOf(task) {
  const k = DATA.metrics.indexOf(state.metric);
  const found = [];
  RUNS.task.forEach((each, i) => {
    if (each === task && RUNS.latest[i] && RUNS.budget[i] === Number(state.budget) && RUNS.samples[i] === Number(state.samples)
      && k >= 0 && RUNS.scores[k][i] !== null && visible(RUNS.method[i])) {
      found.push({ run: i, method: RUNS.method[i], observation: RUNS.observation[i], seed: RUNS.seed[i], score: RUNS.scores[k][i] });
    }
  });
  return found;
}

const runTitle = (each) => `${METHODS[each.method].label}\n${state.metric} ${format(each.score)}\nobservation ${each.observation}, seed ${each.seed}`;

function drawTask(details) {
  const task = Number(details.dataset.task), place = $(".charts", details);
  const runs = runsOf(task);
  const figures = [];
  const add = (draw) => {
    const figure = el("figure");
    figures.push([figure, () => draw(figure)]);
  };
  if (runs.length) {
    add((figure) => drawScores(figure, task, runs));
    add((figure) => drawObservations(figure, task, runs));
  }
  const covered = TASKS[task].coverage.filter((each) => visible(METHODS.findIndex((m) => m.spec === each.method)) && each.budget === Number(state.budget));
  if (covered.length) add((figure) => drawCoverage(figure, task, covered));
  if (TASKS[task].pairs) figures.push(pairPlot(task));
  place.replaceChildren(...figures.map(([figure]) => figure));
  figures.forEach(([, draw]) => draw());
}

function drawScores(figure, task, runs) {
  const cells = CELLS.filter((cell) => cell.task === task && matches(cell) && visible(cell.method)).sort((a, b) => a.mean - b.mean);
  const narrow = figure.clientWidth < 460;
  const label = (each) => METHODS[each.method].label;
  const range = (cell) => cell.low !== null;
  chart(figure, ["Scores ", el("small", {}, "dots: single runs; ring: mean with its 95 % interval")], `Scores of the methods on ${TASKS[task].spec}`, {
    height: 50 + 30 * cells.length, marginLeft: narrow ? 112 : 200,
    x: { label: brief(state.metric), grid: true, nice: true, ticks: narrow ? 4 : 7 },
    y: { label: null, domain: cells.map(label), type: "band" },
    marks: [
      Plot.axisY({ label: null, tickSize: 0, lineWidth: narrow ? 10 : 18, textOverflow: "ellipsis-end" }),
      Plot.dot(runs, { x: "score", y: label, fill: "method", fillOpacity: 0.45, r: 3, ...tip(runTitle) }),
      Plot.link(cells.filter(range), { x1: "low", x2: "high", y1: label, y2: label, stroke: "currentColor", strokeWidth: 1.5 }),
      Plot.dot(cells, { x: "mean", y: label, stroke: "currentColor", fill: "var(--paper)", r: 4 }),
    ],
  }, (each) => each.run !== undefined && showRun(each.run));
}

function drawObservations(figure, task, runs) {
  const numbers = unique(runs.map((each) => each.observation)).sort((a, b) => a - b);
  const lines = runs.filter((each) => each.seed === Math.min(...runs.filter((other) => other.method === each.method).map((other) => other.seed)));
  chart(figure, ["By observation ", el("small", {}, "lines join the runs of one fit")], `Scores by observation on ${TASKS[task].spec}`, {
    height: 300,
    x: { type: "point", domain: numbers, label: "observation", tickFormat: "d" },
    y: { label: brief(state.metric), grid: true, nice: true },
    marks: [
      Plot.line(lines, { x: "observation", y: "score", z: "method", stroke: "method", sort: "observation", strokeOpacity: 0.6 }),
      Plot.dot(runs, { x: "observation", y: "score", fill: "method", symbol: "method", r: 3.5, ...tip(runTitle) }),
    ],
  }, (each) => showRun(each.run));
}

function drawCoverage(figure, task, covered) {
  const least = Math.min(...covered.map((each) => each.observations));
  const band = DATA.levels.map((level) => ({ level, half: 1.96 * Math.sqrt((level * (1 - level)) / least) }));
  const points = covered.flatMap((each) => each.frequency.map((frequency, i) => ({
    method: METHODS.findIndex((m) => m.spec === each.method), level: DATA.levels[i], frequency, runs: each.runs })));
  chart(figure, ["Calibration ", el("small", {}, `how often central intervals hold the true parameters; grey: expected for ${least} observations`)],
    `Coverage of central intervals on ${TASKS[task].spec}`, {
      height: 300,
      x: { domain: [0, 1], label: "level of the interval", tickFormat: "%", ticks: 5 },
      y: { domain: [0, 1], label: "frequency", tickFormat: "%", ticks: 5, grid: true },
      marks: [
        Plot.areaY(band, { x: "level", y1: (each) => Math.max(0, each.level - each.half), y2: (each) => Math.min(1, each.level + each.half), fill: "currentColor", fillOpacity: 0.08 }),
        Plot.link([0], { x1: 0, y1: 0, x2: 1, y2: 1, strokeDasharray: "3 3", strokeOpacity: 0.5 }),
        Plot.line(points, { x: "level", y: "frequency", z: "method", stroke: "method" }),
        Plot.dot(points.filter((_, i) => i % 3 === 1), { x: "level", y: "frequency", fill: "method", symbol: "method", r: 3,
          ...tip((each) => `${METHODS[each.method].label}\n${format(100 * each.frequency, 3)} % at ${format(100 * each.level, 3)} %\n${each.runs} runs`) }),
      ],
    });
}

const drawTasks = () => $$(".task[open]").filter((details) => !details.hidden).forEach(drawTask);

function initTasks() {
  for (const details of $$(".task")) details.addEventListener("toggle", () => details.open && drawTask(details));
  $("#open-all").addEventListener("click", () => $$(".task").forEach((each) => (each.open = true)));
  $("#close-all").addEventListener("click", () => $$(".task").forEach((each) => (each.open = false)));
}
