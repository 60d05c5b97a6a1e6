/** One machine: what it sounds like now, and how its ratio was. */

import { actionButtons } from "../actions.js";
import { address, getJson, part } from "../api.js";
import { HistoryChart } from "../chart.js";
import { decodeColumns } from "../columns.js";
import { fill, h, renew, setText } from "../dom.js";
import { eventRows } from "../events.js";
import { ago, moment } from "../format.js";
import { learningProgress } from "../learning.js";
import { follow } from "../live.js";
import { historyOf } from "../machine_history.js";
import { pageData, showConnection, showNode } from "../page.js";
import { ratioBar, showRatio } from "../ratio.js";
import { relearningView } from "../relearning.js";
import { explanation, kind, sinceOf, stateBadge } from "../state.js";
import { t, word } from "../texts.js";
import { Waterfall } from "../waterfall.js";

const CLOCK_S = 15;
const SILENT_AFTER_S = 5;
const EVENTS_S = 30;
const WRITTEN_AFTER_S = [0.2, 1.5];

const data = pageData();
const id = data.machine.id;
const place = (name) => document.getElementById(name);
const bar = ratioBar();
const ratio = h("span", { class: "ratio-number" });
const learning = learningProgress(place("learning"));
const relearning = relearningView(place("relearning"), id);
const actions = actionButtons(place("actions"), id, loadSoon);
const waterfall = new Waterfall(place("live-pictures"));
let machine = data.machine;
let header = null;
let silence = 0;

fill(place("ratio"), bar.element, ratio);
place("level").append(waterfall.level.element);
show({ ...data.machine, banners: data.banners, monitoring: data.monitoring });
const chart = new HistoryChart(place("history-chart"), historyOf(id, warningRatio));
follow(`api/live/machine/${part(id)}`, { machine: show, header: begin, columns: add }, showConnection);
loadEvents();
setInterval(showSince, CLOCK_S * 1000);
setInterval(loadWhenSeen, EVENTS_S * 1000);
loadRelearning();

function show(next) {
  machine = next;
  document.body.dataset.kind = kind(machine.state);
  const shown = [machine.state, machine.acknowledged, machine.muted_until, machine.label].join();
  if (place("state").dataset.shown !== shown) {
    fill(place("state"), stateBadge(machine));
    setTimeout(loadWritten, WRITTEN_AFTER_S.at(-1) * 1000);
  }
  place("state").dataset.shown = shown;
  setText(place("explanation"), explanation(machine));
  setText(place("operation"), machine.operation ? word("operation", machine.operation) : "–");
  const isAlarm = kind(machine.state) === "alarm";
  bar.update(machine.ratio, isAlarm);
  showRatio(ratio, machine.ratio, isAlarm);
  const alert = place("open-alert");
  alert.hidden = !machine.alert_id;
  if (machine.alert_id) alert.href = address(`alert/${part(machine.alert_id)}`);
  place("provisional").hidden = !machine.provisional;
  learning.update(machine.learning);
  actions.update(machine);
  showNode(machine);
  showSince();
}

function showSince() {
  const since = sinceOf(machine);
  setText(place("since"), since ? t("machine.since", { at: moment(since), length: ago(since) }) : "");
}

function warningRatio() {
  return machine.warning_threshold && machine.threshold ? machine.warning_threshold / machine.threshold : null;
}

function begin(next) {
  header = next;
  waterfall.begin(header);
}

function add(message) {
  if (header === null) return;
  const columns = decodeColumns(message, header);
  waterfall.add(columns);
  place("live-nothing").hidden = true;
  place("no-reconstruction").hidden = columns.images[1] !== null;
  clearTimeout(silence);
  silence = setTimeout(() => {
    place("live-nothing").hidden = false;
    waterfall.level.show(null, false, false);
  }, SILENT_AFTER_S * 1000);
}

/** What the daemon has accepted is in the history some moments later. */
function loadSoon() {
  for (const seconds of WRITTEN_AFTER_S) setTimeout(loadWritten, seconds * 1000);
}

function loadWritten() {
  loadEvents();
  chart.follow();
}

function loadWhenSeen() {
  if (document.hidden) return;
  loadEvents();
  loadRelearning();
}

/** Only machines that learn can be relearned. */
function loadRelearning() {
  if (machine.learning) relearning.refresh();
  else place("relearning").hidden = true;
}

async function loadEvents() {
  try {
    const { events } = await getJson(`api/machine/${part(id)}/events`);
    renew(place("events"), ...eventRows(events));
    place("no-events").hidden = events.length > 0;
  } catch (error) {
    setText(place("no-events"), error.message);
    place("no-events").hidden = false;
  }
}
