/** What the state of a machine means for the person who looks at it. */

import { h, icon } from "./dom.js";
import { ago, moment, ratioText } from "./format.js";
import { learningText } from "./learning.js";
import { t, word } from "./texts.js";

/**
 * How much a machine needs somebody, from 0 (now) to 5. The order of the overview follows it, not
 * the ratio, so that the tiles do not move with every score.
 */
const RANKS = {
  anomaly: 0,
  unavailable: 1,
  no_signal: 1,
  degraded: 1,
  warning: 2,
  muted: 3,
  learning: 4,
  warming: 4,
  starting: 4,
  ok: 5,
  off: 5,
};
const ICONS = {
  anomaly: "alarm",
  warning: "warning",
  unavailable: "no-sound",
  no_signal: "no-sound",
  degraded: "no-sound",
  muted: "muted",
  learning: "learning",
  warming: "wait",
  starting: "wait",
  off: "off",
  ok: "ok",
  unknown: "unknown",
};
const KINDS = { unknown: "unknown", unavailable: "trouble", no_signal: "trouble", degraded: "trouble", warming: "ok", starting: "ok" };

/** The rank of a machine; one with an alert that nobody has acknowledged is always the first. */
export function rank(machine) {
  if (machine.state === "unknown") return 1.5;
  if (machine.alert_id && !machine.acknowledged && machine.state !== "muted") return 0;
  if (machine.state === "anomaly" && machine.acknowledged) return 0.5;
  if (machine.state === "muted" && machine.state_without_mute === "anomaly") return 2;
  if (machine.state === "ok" && machine.warnings.length) return 2.5;
  return RANKS[machine.state] ?? 4;
}

/** Whether the machine needs somebody. */
export function needsAttention(machine) {
  return rank(machine) < 3;
}

/** The kind of a state, which is its colour: alarm, warning, trouble, unknown, muted, learning, off, ok. */
export function kind(state) {
  if (state === "anomaly") return "alarm";
  return KINDS[state] ?? (state in RANKS ? state : "trouble");
}

/** Icon and name of a state. */
export function stateBadge(machine) {
  return h(
    "span",
    { class: "state", "data-kind": kind(machine.state) },
    icon(ICONS[machine.state] ?? "unknown"),
    h("span", { class: "state-name" }, word("state", machine.state)),
  );
}

/** Since when a machine is in its state; for an anomaly, since the beginning of the fault, as in messages. */
export function sinceOf(machine) {
  return (machine.state === "anomaly" && machine.fault_began_at) || machine.since;
}

/** Why a machine is in a state: the detail of the daemon, except where the page has a text for it. */
export function stateReason(state, { reason, detail }) {
  if (state === "warning" && !reason) return t("state_text.above_warning_threshold");
  if (detail && state !== "ok") return detail;
  return reason ? word("reason", reason) : "";
}

/** A warning with its detail. */
export function warningText(name, detail) {
  const shown = word("warning", name);
  const about = word("warning_detail", name, detail ?? "");
  return about ? t("state_text.warning", { name: shown, detail: about }) : shown;
}

function mutedBy(mute) {
  const by = mute?.by ? ` ${t("event.by", { user: mute.by })}` : "";
  return mute?.note ? `${by} “${mute.note}”` : by;
}

/** What is wrong, in one sentence; empty for a machine that needs nobody. */
export function explanation(machine) {
  const parts = [];
  if (machine.state === "anomaly" && machine.ratio) {
    parts.push(t("state_text.anomaly", { ratio: ratioText(machine.ratio) }));
  }
  if (machine.state === "muted") {
    if (machine.muted_until) parts.push(t("state_text.muted_until", { until: moment(machine.muted_until) }) + mutedBy(machine.mute));
    if (machine.state_without_mute) {
      parts.push(t("state_text.without_mute", { state: word("state", machine.state_without_mute) }));
    }
  }
  const why = stateReason(machine.state, machine);
  if (machine.learning && machine.state === "learning") parts.push(learningText(machine.learning));
  else if (why) parts.push(why);
  if (machine.acknowledged) parts.push(t("state_text.acknowledged"));
  for (const { name, detail } of machine.warnings) parts.push(warningText(name, detail));
  if (machine.alert_id && !["anomaly", "muted"].includes(machine.state)) parts.push(t("state_text.alert_open"));
  if (machine.last_seen) parts.push(t("state_text.last_seen", { ago: ago(machine.last_seen) }));
  return parts.join(" · ");
}
