"use strict";
// Data, state and elements. Texts are written by textContent only; the policy of the page refuses anything else.

const DATA = JSON.parse(document.getElementById("data").textContent);
const METHODS = DATA.methods, TASKS = DATA.tasks;
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "wye"];
const COLOURS = 7;

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Return a new element with attributes and children; texts become text nodes. */
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const colour = (method) => `var(--c${method % COLOURS})`;
const symbolOf = (method) => SYMBOLS[method % SYMBOLS.length];

/** Return the columns of a table as a list of rows. */
function rows(columns) {
  const names = Object.keys(columns);
  return columns[names[0]].map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
}
const CELLS = rows(DATA.cells);

function format(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4)) return value.toExponential(2);
  return Number.isInteger(value) ? value.toLocaleString("en") : value.toLocaleString("en", { maximumSignificantDigits: digits });
}
const seconds = (value) => (value === null ? "–" : `${format(value, 3)} s`);

// The state of the filters, in the fragment of the address, so that it survives a reload and can be shared.
const FILTERS = ["metric", "budget", "samples", "task", "divergence", "family", "method"];
const state = { against: "budget", hidden: new Set() };
const listeners = [];

function readState(form) {
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const name of FILTERS) {
    const field = form.elements[name];
    const value = wanted.get(name);
    if (value !== null && (field.type === "search" || [...field.options].some((option) => option.value === value))) field.value = value;
  }
  takeState(form);
}

function takeState(form) {
  for (const name of FILTERS) state[name] = form.elements[name].value;
}

function writeState() {
  const kept = new URLSearchParams();
  for (const name of FILTERS) if (state[name]) kept.set(name, state[name]);
  history.replaceState(null, "", `#${kept}`);
}

const changed = () => listeners.forEach((listener) => listener());
const inParts = (text, wanted) => !wanted || text.split(", ").includes(wanted);
const showsTask = (task) => state.task === "" || Number(state.task) === task;

function showsMethod(method) {
  const { spec, label, divergence, family } = METHODS[method];
  const text = state.method.toLowerCase();
  return inParts(divergence, state.divergence) && inParts(family, state.family) && `${spec} ${label}`.toLowerCase().includes(text);
}

const matches = (each) =>
  each.metric === state.metric && each.budget === Number(state.budget) && each.samples === Number(state.samples);

/** Return the symbol of a method as a drawing. */
function keySymbol(method) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-8 -8 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", d3.symbol(SYMBOL_TYPES[symbolOf(method)], 90)());
  path.setAttribute("fill", colour(method));
  svg.append(path);
  return svg;
}
const SYMBOL_TYPES = { circle: d3.symbolCircle, square: d3.symbolSquare, triangle: d3.symbolTriangle, diamond: d3.symbolDiamond, star: d3.symbolStar, wye: d3.symbolWye };

// Sorting of the tables: by the value of a cell, numbers as numbers, missing ones last.
function sortable(table) {
  for (const heading of $$("thead th:not(.plain)", table)) {
    const button = el("button", { type: "button" }, ...heading.childNodes);
    heading.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, heading));
  }
}

function sortBy(table, heading) {
  const column = [...heading.parentNode.children].indexOf(heading);
  const descending = heading.getAttribute("aria-sort") === "ascending";
  $$("th", heading.parentNode).forEach((each) => each.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [sortKey(row.cells[column]), row]);
  keyed.sort(([a], [b]) => compareKeys(a, b, descending ? -1 : 1));
  body.append(...keyed.map(([, row]) => row));
}

function sortKey(cell) {
  const text = (cell.dataset.value ?? cell.textContent).trim();
  if (text === "" || text === "–" || text === "nan") return null;
  const number = Number(text.replace(/^</, "").replaceAll(",", ""));
  return Number.isNaN(number) ? text : number;
}

function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
}
