// The start: filters, theme, printing, and the reload while a sweep runs.

const form = $("#filters");

function initTheme() {
  const button = $("#theme"), names = ["auto", "light", "dark"];
  const show = (name) => {
    name === "auto" ? delete document.documentElement.dataset.theme : (document.documentElement.dataset.theme = name);
    button.textContent = `Theme: ${name}`;
    button.value = name;
  };
  let known = "auto";
  try {
    known = localStorage.getItem("ampbench-theme") ?? "auto";
  } catch { /* a browser that keeps nothing */ }
  show(names.includes(known) ? known : "auto");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(button.value) + 1) % names.length];
    show(next);
    try {
      localStorage.setItem("ampbench-theme", next);
    } catch { /* the choice holds for this page only */ }
  });
}

function initFilters() {
  form.hidden = !METHODS.length;
  const boards = $$("#leaderboard .board");
  if (boards.length) { // the first board that exists, with the most tasks
    const largest = boards.reduce((a, b) => ($$("thead th", b).length > $$("thead th", a).length ? b : a));
    for (const name of ["metric", "budget", "samples"]) form.elements[name].value = largest.dataset[name];
  } else if (RUNS.key.length) {
    const found = (name) => unique(RUNS[name]).map((value) => el("option", { value: String(value) }, format(value)));
    form.elements.budget.replaceChildren(...found("budget"));
    form.elements.samples.replaceChildren(...found("samples"));
  }
  const first = Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value]));
  readState(form);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const name of FILTERS) form.elements[name].value = ["metric", "budget", "samples"].includes(name) ? first[name] : "";
    state.hidden.clear();
    filter();
  });
  form.addEventListener("input", filter);
}

function filter() {
  takeState(form);
  writeState();
  order.page = 0;
  changed();
}

function initReload() {
  const wait = Number(document.body.dataset.reload);
  if (!wait) return;
  const busy = () => dialog.open || String(getSelection()) || document.activeElement?.closest?.("form");
  setInterval(() => busy() || location.reload(), wait * 1000);
  const kept = Number(sessionStorage.getItem("ampbench-scroll"));
  if (kept) scrollTo(0, kept);
  addEventListener("pagehide", () => sessionStorage.setItem("ampbench-scroll", String(scrollY)));
}

function initResize() {
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (innerWidth === width) return;
      width = innerWidth;
      drawCurves();
      drawTasks();
    }, 150);
  });
  addEventListener("beforeprint", () => {
    $$(".task").forEach((each) => { each.open = true; });
    drawCurves();
    drawTasks();
  });
}

$$(".buttons").forEach((each) => { each.hidden = false; });
$$("table.sortable").forEach(sortable);
initTheme();
initFilters();
drawKeys();
initCurves();
initTasks();
initResize();
listeners.push(showTables, drawLegend, drawCurves, drawTasks, drawRuns);
changed();
initReload();
document.documentElement.dataset.ready = "true";
