/** One alert: hear it, see it, compare it with healthy sound, and say what it was. */

import { getJson, part } from "../api.js";
import { HistoryChart } from "../chart.js";
import { nowSeconds } from "../clock.js";
import { fill, h, keepFocus, renew, setText } from "../dom.js";
import { eventRows, lastedOf, unwrittenEvents } from "../events.js";
import { clipOfPiece, healthyClip } from "../evidence.js";
import { FindingsView } from "../findings.js";
import { ago, bands, length, moment, ratioText, unixSeconds } from "../format.js";
import { historyOf } from "../machine_history.js";
import { mayChange, pageData, showConnection, showNode } from "../page.js";
import { ClipPlayer } from "../player.js";
import { ratioBar, showRatio } from "../ratio.js";
import { showResidual } from "../residual.js";
import { labelButtons } from "../labelling.js";
import { t, word } from "../texts.js";

const BESIDE_S = 1800;
const REFRESH_S = 10;
const COLLECTING_REFRESH_S = 2;
const WRITTEN_AFTER_S = [0.2, 1.5, 4];

const place = (name) => document.getElementById(name);
const { alert: first } = pageData();
const id = first.alert_id;
const bar = ratioBar();
const ratio = h("span", { class: "ratio-number" });
const areas = { acknowledgeArea: place("acknowledge"), labelArea: place("labels") };
const labels = mayChange ? labelButtons(areas, id, changed) : null;
const findings = new FindingsView(place("findings-section"), place("findings"));
let player = null;
let shownPieces = null;
let newest = pageData();
let readyAtMs = null; // when the sound is complete, by the clock of this browser; null if none comes
const accepted = new Map(); // what the daemon has accepted: name to value, and what the history had then
const unwritten = unwrittenEvents();

fill(place("ratio"), bar.element, ratio);
show(newest);
showConnection(true);
const raisedS = unixSeconds(first.raised_at);
const endsS = first.cleared_at ? unixSeconds(first.cleared_at) : raisedS;
new HistoryChart(place("history-chart"), historyOf(first.machine), {
  since: raisedS - BESIDE_S,
  until: Math.min(endsS + BESIDE_S, Math.max(nowSeconds(), raisedS + 60)),
  alertId: id,
});
setInterval(() => document.hidden || refresh(), REFRESH_S * 1000);
setInterval(showCollecting, 1000);
setInterval(() => document.hidden || readyAtMs === null || Date.now() < readyAtMs || refresh(), COLLECTING_REFRESH_S * 1000);

async function refresh() {
  try {
    show(await getJson(`api/alert/${part(id)}`));
    showConnection(true);
  } catch {
    showConnection(false);
  }
}

/** The daemon has accepted a change. It is in the history some moments later. */
function changed(values) {
  for (const [name, value] of Object.entries(values)) accepted.set(name, { value, before: newest.alert[name] });
  unwritten.add(values.label ? { kind: "label", value: values.label, note: values.note } : { kind: "acknowledge" }, newest.events);
  show(newest);
  for (const seconds of WRITTEN_AFTER_S) setTimeout(refresh, seconds * 1000);
}

function show(next) {
  newest = next;
  const { pieces, healthy, events } = next;
  const alert = withAccepted(next.alert);
  const isOpen = !alert.cleared_at;
  const canBeChanged = mayChange && next.monitoring !== "stopped"; // a label is stored by the daemon
  place("labelling").hidden = !canBeChanged;
  document.body.dataset.kind = isOpen ? "alarm" : "off";
  setText(place("status"), isOpen ? t("alert.status_open") : t("alert.status_cleared"));
  place("status").dataset.open = String(isOpen);
  bar.update(alert.peak_ratio, true);
  showRatio(ratio, alert.peak_ratio, true);
  renew(place("facts"), ...facts(alert, isOpen));
  labels?.update(alert);
  if (!canBeChanged) place("acknowledge").hidden = true;
  setText(place("verdict"), verdict(alert));
  const key = JSON.stringify([...pieces, healthy].map((piece) => piece && [piece.evidence_id, piece.starts_at]));
  if (key !== shownPieces && !player?.isPlaying) {
    showEvidence(alert, pieces, healthy);
    shownPieces = key;
  }
  findings.update(alert, pieces);
  readyAtMs = next.sound_ready_in_s === null ? null : Date.now() + next.sound_ready_in_s * 1000;
  showCollecting();
  showNode(next);
  renew(place("events"), ...eventRows([...unwritten.beside(events), ...events], { linksAlerts: false }));
}

/** The alert with what the history does not have yet. What it has may be from another viewer, and is shown. */
function withAccepted(alert) {
  const shown = { ...alert };
  for (const [name, { value, before }] of accepted) {
    if (alert[name] !== before) accepted.delete(name);
    else shown[name] = value;
  }
  return shown;
}

function showEvidence(alert, pieces, healthy) {
  const shown = pieces.filter((piece) => piece.log_mel && piece.has_images);
  place("player").hidden = shown.length === 0;
  place("no-evidence").hidden = shown.length > 0;
  if (shown.length === 0) return;
  const ranges = bandsOf(alert);
  const clips = shown.map(clipOfPiece);
  if (healthy) clips.push(healthyClip(healthy));
  place("no-healthy").hidden = Boolean(healthy);
  keepFocus(() => {
    player = new ClipPlayer(place("player"), clips, ranges, player?.clip.key);
  }, place("player"));
  const { band_residual_db: residual, log_mel: about } = shown[0];
  place("residual-section").hidden = !residual;
  if (residual) showResidual(place("residual"), residual, about.mel_hz, ranges);
}

/** Why there is no sound: it is still recorded, or none is kept. */
function showCollecting() {
  const leftS = readyAtMs === null ? null : Math.ceil((readyAtMs - Date.now()) / 1000);
  const text =
    leftS === null ? t("alert.no_evidence") : leftS > 0 ? t("alert.collecting", { seconds: leftS }) : t("alert.collecting_soon");
  setText(place("no-evidence"), text);
}

function facts(alert, isOpen) {
  const lines = [];
  if (unixSeconds(alert.fault_began_at) < unixSeconds(alert.raised_at)) {
    lines.push([t("alert.began"), moment(alert.fault_began_at, { seconds: true })]);
  }
  lines.push([t("alert.raised"), `${moment(alert.raised_at, { seconds: true })} (${t("alert.ago", { length: ago(alert.raised_at) })})`]);
  if (!isOpen) {
    lines.push([t("alert.cleared"), `${moment(alert.cleared_at, { seconds: true })} (${t("alert.lasted", { length: lastedOf(alert) })})`]);
  }
  lines.push([t("alert.highest"), t("alert.times_threshold", { ratio: ratioText(alert.peak_ratio) })]);
  const ranges = bandsOf(alert);
  if (ranges.length) lines.push([t("alert.frequencies"), bands(ranges)]);
  const span = alert.payload?.span_s;
  if (span) lines.push([t("alert.span"), length(span)]);
  if (alert.payload?.provisional) lines.push([t("alert.threshold"), t("common.provisional")]);
  if (alert.payload?.reason) lines.push([t("alert.reason"), word("reason", alert.payload.reason)]);
  lines.push([t("alert.id"), alert.alert_id]);
  return lines.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

function verdict(alert) {
  const parts = [];
  if (alert.acknowledged) parts.push(t("alert.acknowledged"));
  if (alert.label) parts.push(word("label", alert.label));
  if (alert.note) parts.push(`“${alert.note}”`);
  return parts.length ? parts.join(" · ") : t("alert.not_acknowledged");
}

/** A message that clears the alert has no bands: those of an earlier one stay true. */
function bandsOf(alert) {
  return alert.bands_hz ?? alert.payload?.bands_hz ?? [];
}
