/** The overview: every machine, the worst first. */

import { noteTime } from "../clock.js";
import { fill, h, keepFocus, renew, setText } from "../dom.js";
import { follow } from "../live.js";
import { pageData, showConnection, showNode } from "../page.js";
import { kind, needsAttention, rank } from "../state.js";
import { t } from "../texts.js";
import { tile } from "../tile.js";

const MANY = 13;
const CLOCK_S = 15;
const ALL_KINDS = ["alarm", "trouble", "unknown", "warning", "muted", "learning", "off", "ok"];

const groups = ["attention", "others"].map((name) => ({
  section: document.getElementById(name),
  title: document.getElementById(`${name}-title`),
  list: document.getElementById(`${name}-list`),
}));
const summary = document.getElementById("summary");
const search = document.getElementById("search");
const tiles = new Map();
let overview = pageData();

search.addEventListener("input", render);
show(overview);
follow("api/live/overview", { overview: show }, showConnection);
setInterval(render, CLOCK_S * 1000);

/** Show a document of api/overview. Days are sent rarely: without one, the last one stays. */
function show(next) {
  const days = new Map(overview.machines.map((one) => [keyOf(one), one.sparkline]));
  overview = next;
  for (const machine of overview.machines) machine.sparkline ??= days.get(keyOf(machine)) ?? null;
  noteTime(next.now);
  render();
}

function render() {
  const machines = [...overview.machines].sort(byNeed);
  const showsNode = machines.some((one) => one.node);
  showNode(overview);
  showSummary(machines);
  search.parentElement.hidden = machines.length < MANY;
  document.body.classList.toggle("dense", machines.length >= MANY);
  const wanted = search.value.trim().toLowerCase();
  const found = machines.filter((one) => `${one.id} ${one.node ?? ""}`.toLowerCase().includes(wanted));
  const isWorse = found.filter(needsAttention);
  keepFocus(() => {
    place(groups[0], isWorse, showsNode);
    place(groups[1], found.filter((one) => !isWorse.includes(one)), showsNode);
  });
  setText(groups[0].title, t("overview.attention", { count: isWorse.length }));
  groups[1].title.classList.toggle("hidden", isWorse.length === 0); // a heading for screen readers
  document.getElementById("nothing").hidden = machines.length > 0;
}

function place({ section, list }, machines, showsNode) {
  section.hidden = machines.length === 0;
  const elements = machines.map((machine) => {
    const key = keyOf(machine);
    if (!tiles.has(key)) tiles.set(key, tile(machine.id, showsNode));
    const one = tiles.get(key);
    one.update(machine);
    return one.element;
  });
  renew(list, ...elements);
}

function showSummary(machines) {
  const counts = new Map();
  for (const machine of machines) counts.set(kind(machine.state), (counts.get(kind(machine.state)) ?? 0) + 1);
  const parts = ALL_KINDS.filter((one) => counts.has(one)).map((one) =>
    h("li", { "data-kind": one }, t(`overview.count_${one}`, { count: counts.get(one) })),
  );
  const text = parts.map((one) => one.textContent).join();
  if (summary.dataset.shown === text) return;
  summary.dataset.shown = text;
  fill(summary, ...parts);
  const alarms = counts.get("alarm") ?? 0;
  document.title = alarms ? t("overview.tab_title", { count: alarms }) : t("overview.tab_title_quiet");
}

function byNeed(one, other) {
  return rank(one) - rank(other) || keyOf(one).localeCompare(keyOf(other), undefined, { numeric: true });
}

function keyOf(machine) {
  return `${machine.node ?? ""}/${machine.id}`;
}
