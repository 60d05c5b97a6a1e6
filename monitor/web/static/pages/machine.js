/** One machine: what it sounds like now, and how its ratio was. */

import { actionButtons } from "../actions.js";
import { address, getJson, part } from "../api.js";
import { HistoryChart } from "../chart.js";
import { fill, h, setText } from "../dom.js";
import { eventRows } from "../events.js";
import { ago, moment } from "../format.js";
import { learningProgress } from "../learning.js";
import { historyOf } from "../machine_history.js";
import { pageData, showBanners, showConnection } from "../page.js";
import { ratioBar, showRatio } from "../ratio.js";
import { explanation, kind, stateBadge } from "../state.js";
import { t, word } from "../texts.js";

const REFRESH_S = 2;
const EVENTS_S = 30;
const WRITTEN_AFTER_S = 1.5;

const data = pageData();
const id = data.machine.id;
const place = (name) => document.getElementById(name);
const bar = ratioBar();
const ratio = h("span", { class: "ratio-number" });
const learning = learningProgress(place("learning"));
const actions = actionButtons(place("actions"), id, refresh);
let machine = data.machine;

fill(place("ratio"), bar.element, ratio);
show(data);
showConnection(true);
new HistoryChart(place("history-chart"), historyOf(id, warningRatio));
loadEvents();
setInterval(refresh, REFRESH_S * 1000);
setInterval(() => document.hidden || loadEvents(), EVENTS_S * 1000);

async function refresh() {
  if (document.hidden) return;
  try {
    show(await getJson(`api/machine/${part(id)}`));
    showConnection(true);
  } catch {
    showConnection(false);
  }
}

function show(next) {
  machine = next.machine;
  document.body.dataset.kind = kind(machine.state);
  const shown = [machine.state, machine.acknowledged, machine.muted_until, machine.label].join();
  if (place("state").dataset.shown !== shown) {
    fill(place("state"), stateBadge(machine));
    setTimeout(loadEvents, WRITTEN_AFTER_S * 1000);
  }
  place("state").dataset.shown = shown;
  setText(place("explanation"), explanation(machine, Date.now() / 1000));
  setText(place("operation"), machine.operation ? word("operation", machine.operation) : "–");
  bar.update(machine.ratio);
  showRatio(ratio, machine.ratio);
  const alert = place("open-alert");
  alert.hidden = !machine.alert_id;
  if (machine.alert_id) alert.href = address(`alert/${part(machine.alert_id)}`);
  learning.update(machine.learning);
  actions.update(machine);
  showBanners(next.banners);
  showSince();
}

function showSince() {
  if (!machine.since) return;
  setText(place("since"), t("machine.since", { at: moment(machine.since), length: ago(machine.since) }));
}

function warningRatio() {
  return machine.warning_threshold && machine.threshold ? machine.warning_threshold / machine.threshold : null;
}

async function loadEvents() {
  try {
    const { events } = await getJson(`api/machine/${part(id)}/events`);
    fill(place("events"), ...eventRows(events));
    place("no-events").hidden = events.length > 0;
  } catch (error) {
    setText(place("no-events"), error.message);
    place("no-events").hidden = false;
  }
}
