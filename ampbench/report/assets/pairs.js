// Pair plots: samples of a method beside the reference, drawn from quantised coordinates.

const STEPS = 60000, OUTSIDE = 65535, BINS = 24;

/** Return the points (n, d) of a base64 text as shares of the frame; null outside of it. */
function decode(points, d) {
  const bytes = Uint8Array.from(atob(points), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
  return Array.from({ length: values.length / d }, (_, i) =>
    values.slice(i * d, (i + 1) * d).map((value) => (value === OUTSIDE ? null : value / STEPS)));
}

function pairPlot(task) {
  const { pairs } = TASKS[task];
  const box = el("figure", { class: "pairs" });
  const choices = pairs.draws.map((each, i) => el("option", { value: String(i) }, `${METHODS.find((m) => m.spec === each.method).label}, ${format(each.budget)} simulations, seed ${each.seed}`));
  const select = el("select", { "aria-label": "Method of the pair plot" }, ...choices);
  const canvas = el("div");
  const note = el("p", { class: "source" });
  const draw = () => drawPairs(canvas, note, pairs, pairs.draws[Number(select.value)]);
  select.addEventListener("change", draw);
  const size = pairs.size > pairs.names.length ? `, the first ${pairs.names.length} of ${pairs.size} components` : "";
  box.append(
    el("figcaption", {}, `Samples for observation ${pairs.observation}`, el("small", {}, size)),
    el("div", { class: "pairs-choice" }, el("label", {}, "Samples of ", select),
      el("span", {}, el("span", { class: "swatch posterior" }), "this method"),
      pairs.reference ? el("span", {}, el("span", { class: "swatch reference" }), "reference") : el("span", {}, "this task has no reference"),
      pairs.truth ? el("span", {}, "+ true parameters") : null),
    canvas, note);
  return [box, draw];
}

function drawPairs(canvas, note, pairs, chosen) {
  const d = pairs.names.length;
  const sets = [["reference", pairs.reference], ["posterior", chosen.points]].filter(([, points]) => points).map(([name, points]) => [name, decode(points, d)]);
  const width = Math.min(640, Math.max(240, canvas.clientWidth || 320)), left = 40, bottom = 26, gap = 6;
  const cell = (width - left - gap * (d - 1)) / d;
  const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${d * cell + (d - 1) * gap + bottom}`).attr("width", width).attr("role", "img")
    .attr("aria-label", `Pair plot of ${pairs.names.join(", ")}`);
  for (let i = 0; i < d; i += 1) for (let j = 0; j <= i; j += 1) {
    const panel = svg.append("g").attr("transform", `translate(${left + j * (cell + gap)},${i * (cell + gap)})`);
    panel.append("rect").attr("class", "frame").attr("width", cell).attr("height", cell);
    if (i === j) drawDensity(panel, sets, i, cell, pairs);
    else drawPoints(panel, sets, i, j, cell, pairs);
    if (i === d - 1) axis(panel, d3.axisBottom, pairs, j, cell, `translate(0,${cell})`);
    if (j === 0 && i > 0) axis(panel, d3.axisLeft, pairs, i, cell, "");
    if (i === j) panel.append("text").attr("x", 5).attr("y", 13).text(pairs.names[i]);
  }
  canvas.replaceChildren(svg.node());
  const outside = sets.at(-1)[1].filter((point) => point.includes(null)).length;
  note.textContent = outside ? `${outside} of ${sets.at(-1)[1].length} shown draws lie outside of the frame, which is that of ${pairs.reference ? "the reference" : "all methods"}.` : "";
}

function drawPoints(panel, sets, i, j, cell, pairs) {
  for (const [name, points] of sets) {
    const inside = points.filter((point) => point[i] !== null && point[j] !== null);
    panel.append("path").attr("class", `points ${name}`)
      .attr("d", inside.map((point) => `M${(point[j] * cell).toFixed(1)},${((1 - point[i]) * cell).toFixed(1)}h0`).join(""));
  }
  if (pairs.truth) {
    const [x, y] = [share(pairs, j) * cell, (1 - share(pairs, i)) * cell];
    panel.append("path").attr("class", "truth").attr("d", `M${x - 5},${y}h10M${x},${y - 5}v10`);
  }
}

function drawDensity(panel, sets, i, cell, pairs) {
  const counts = sets.map(([name, points]) => {
    const bins = new Array(BINS).fill(0);
    for (const point of points) if (point[i] !== null) bins[Math.min(BINS - 1, Math.floor(point[i] * BINS))] += 1 / points.length;
    return [name, bins];
  });
  const highest = Math.max(...counts.flatMap(([, bins]) => bins)) || 1;
  const height = (value) => cell - 1 - (value / highest) * (cell - 22);
  for (const [name, bins] of counts) {
    const steps = bins.map((value, k) => `${k ? "L" : "M"}${((k / BINS) * cell).toFixed(1)},${height(value).toFixed(1)}h${(cell / BINS).toFixed(2)}`);
    panel.append("path").attr("class", `density ${name}`).attr("d", steps.join(""));
  }
  if (pairs.truth) panel.append("path").attr("class", "truth").attr("d", `M${share(pairs, i) * cell},${cell}v-12`);
}

const share = (pairs, i) => (pairs.truth[i] - pairs.low[i]) / (pairs.high[i] - pairs.low[i]);

function axis(panel, orient, pairs, i, cell, transform) {
  const scale = d3.scaleLinear([pairs.low[i], pairs.high[i]], orient === d3.axisLeft ? [cell, 0] : [0, cell]);
  const made = panel.append("g").attr("transform", transform).call(orient(scale).ticks(3, "~s").tickSizeOuter(0));
  made.select(".domain").remove();
  made.attr("font-family", null);
}
