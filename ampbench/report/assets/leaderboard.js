// The tables that the template wrote: which are shown, and which of their rows and columns.

function showTables() {
  let boards = 0;
  for (const board of $$(".board")) {
    const { metric, budget, samples } = board.dataset;
    board.hidden = !matches({ metric, budget: Number(budget), samples: Number(samples) });
    if (board.hidden) continue;
    if (board.parentNode.id === "leaderboard") boards += 1;
    for (const row of $$("tr[data-method]", board)) row.hidden = !showsMethod(Number(row.dataset.method));
    for (const cell of $$("[data-column]", board)) cell.hidden = !showsTask(Number(cell.dataset.column));
  }
  const none = $("#no-board");
  if (none) none.hidden = boards > 0;
  for (const row of $$(".findings tbody tr")) {
    row.hidden = row.dataset.budget !== state.budget || !showsMethod(Number(row.dataset.method));
  }
  for (const task of $$(".task")) task.hidden = !showsTask(Number(task.dataset.task));
}

function drawKeys() {
  for (const key of $$(".key[data-key]")) key.replaceChildren(keySymbol(Number(key.dataset.key)));
}
