/** The health of the installation: everything that is not about the sound of a machine. */

import { getJson } from "../api.js";
import { h, renew, setText, time } from "../dom.js";
import { ago, bytes, length, moment, number } from "../format.js";
import { pageData, showConnection, showNode } from "../page.js";
import { sentence, t } from "../texts.js";

const REFRESH_S = 10;
const place = (name) => document.getElementById(name);

show(pageData());
showConnection(true);
setInterval(refresh, REFRESH_S * 1000);

async function refresh() {
  if (document.hidden) return;
  try {
    show(await getJson("api/health"));
    showConnection(true);
  } catch {
    showConnection(false);
  }
}

function show(health) {
  showNode(health);
  facts("processes", [...ofDaemon(health.daemon), ...ofWeb(health.web)]);
  facts("delivery", ofDelivery(health.daemon));
  facts("disk", ofDisk(health.disk, health.daemon));
  coverage(health.coverage);
  warnings(health.daemon?.log ?? null);
}

function ofDaemon(daemon) {
  if (!daemon) return [["daemon", t("health.not_running")]];
  return [
    ["daemon", t("health.running_for", { length: ago(daemon.started_at), version: daemon.version })],
    ["config", daemon.config],
    ["memory_daemon", daemon.process ? bytes(daemon.process.memory_bytes ?? 0) : null],
  ];
}

function ofWeb(web) {
  return [
    ["web", t("health.running_for", { length: ago(web.started_at), version: web.version })],
    ["memory_web", web.memory_bytes ? bytes(web.memory_bytes) : null],
    ["viewers", web.viewers === undefined ? null : number(web.viewers, 6)],
  ];
}

function ofDelivery(daemon) {
  if (!daemon) return [];
  const { outbox, broker } = daemon;
  if (!outbox || !broker) return [["delivery", daemon.delivery]];
  const dropped = Object.values(outbox.dropped).reduce((sum, count) => sum + count, 0);
  return [
    ["broker", broker.connected ? t("health.connected", broker) : t("health.not_connected", broker)],
    ["refusal", sentence(broker.refusal)],
    ["limits", sentence(broker.limits)],
    ["waiting", t("common.alerts", { count: outbox.depth })],
    ["sent", t("common.alerts", { count: broker.acknowledged })],
    ["dropped", dropped ? number(dropped, 9) : null],
    ["outbox_trouble", sentence(outbox.detail)],
  ];
}

function ofDisk(disk, daemon) {
  const size = (value) => (value === null || value === undefined ? null : bytes(value));
  const limited = (value, most) => (most ? t("health.at_most", { size: size(value) ?? "–", most: bytes(most) }) : size(value));
  return [
    ["folder", disk.state_dir],
    ["free", disk.free_bytes === null ? null : t("health.free_of", { free: bytes(disk.free_bytes), total: bytes(disk.total_bytes) })],
    ["history", limited(disk.history_bytes, daemon?.history?.max_bytes)],
    ["history_trouble", sentence(daemon?.history?.trouble)],
    ["evidence", limited(disk.evidence_bytes, daemon?.evidence?.max_bytes)],
    ["outbox", size(disk.outbox_bytes)],
  ];
}

/** A description list; a fact without a value is left out. */
function facts(name, lines) {
  const known = lines.filter(([, value]) => value !== null && value !== undefined && value !== "");
  renew(place(name), ...known.flatMap(([key, value]) => [h("dt", {}, t(`health.${key}`)), h("dd", {}, value)]));
  place(name).closest("section").hidden = known.length === 0;
}

function coverage(machines) {
  const cells = (one) => [one.monitored_s, one.degraded_s, one.lost_s].map((s) => h("td", {}, s === undefined ? "–" : length(s)));
  const rows = machines.map((one) => h("tr", {}, h("th", { scope: "row" }, one.id), ...cells(one)));
  renew(place("coverage"), ...rows);
  place("coverage").closest("section").hidden = rows.length === 0;
}

/** log: null if the daemon does not answer, so that nobody knows. */
function warnings(log) {
  const rows = [...(log ?? [])].reverse().map((one) => {
    const text = [one.machine, one.message, one.reason, one.detail].filter(Boolean).join(": ");
    return h("li", { class: "event" }, time(one.time, moment(one.time, { seconds: true })), h("span", {}, text));
  });
  renew(place("warnings"), ...rows);
  setText(place("no-warnings"), rows.length ? "" : log ? t("health.no_warnings") : t("health.unknown_warnings"));
}
