// What the charts have in common: scales of colour and symbol, sizes, tips, and the click on a point.

const visible = (method) => showsMethod(method) && !state.hidden.has(method);

const COLOUR = { type: "ordinal", domain: METHODS.map((_, i) => i), range: METHODS.map((_, i) => colour(i)) };
const SYMBOL = { type: "ordinal", domain: METHODS.map((_, i) => i), range: METHODS.map((_, i) => symbolOf(i)) };

/** Return a text that fits beside an axis. */
const brief = (text) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);

/** Draw a chart into a figure, as wide as the figure is, with a caption; a click on a point calls ``opened``. */
function chart(figure, caption, label, options, opened) {
  const plot = Plot.plot({
    width: Math.max(240, Math.floor(figure.clientWidth) || 300), marginLeft: 48, color: COLOUR, symbol: SYMBOL,
    style: { background: "none", overflow: "visible" }, ...options,
  });
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", label);
  if (opened) plot.addEventListener("click", () => plot.value && opened(plot.value));
  figure.replaceChildren(el("figcaption", {}, ...caption), plot);
}

const intervalText = (cell) => (cell.low === null ? "" : ` [${format(cell.low)}, ${format(cell.high)}]`);
const tip = (title) => ({ title, tip: { fill: "var(--paper)", stroke: "var(--line)" } });
