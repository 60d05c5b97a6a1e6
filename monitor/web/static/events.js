/** Lists of events and of alerts. */

import { address, part } from "./api.js";
import { nowSeconds } from "./clock.js";
import { h, time } from "./dom.js";
import { length, moment, ratioText, unixSeconds } from "./format.js";
import { stateReason, warningText } from "./state.js";
import { t, word } from "./texts.js";

const HASH_CHARACTERS = 12;
const SHOWN_S = 15; // the list of events has an end: an older one may have left it
const LINKED = new Set(["raised", "cleared", "label", "acknowledge"]);

/** Events as rows of a list: time, what happened, by whom and why. */
export function eventRows(events, { linksAlerts = true } = {}) {
  return events.map((event) =>
    h(
      "li",
      { class: "event", "data-event": event.kind },
      time(event.at, moment(event.at, { seconds: true })),
      h(
        "span",
        {},
        linksAlerts && event.alert_id && LINKED.has(event.kind)
          ? h("a", { href: address(`alert/${part(event.alert_id)}`) }, eventText(event))
          : eventText(event),
        event.user ? h("span", { class: "event-by" }, ` ${t("event.by", { user: event.user })}`) : null,
        event.note ? h("q", { class: "event-note" }, event.note) : null,
      ),
    ),
  );
}

/**
 * Events that the daemon has accepted and the history does not show yet. add(event, events): events
 * are those of the history at this time. beside(events): those that are missing there, newest first.
 */
export function unwrittenEvents() {
  let waiting = [];
  const number = (events, kind) => events.filter((one) => one.kind === kind).length;
  return { add, beside };

  function add(event, events) {
    const waitsFor = number(events, event.kind) + number(waiting.map((one) => one.event), event.kind) + 1;
    const untilMs = Date.now() + SHOWN_S * 1000;
    waiting.unshift({ untilMs, event: { at: new Date(nowSeconds() * 1000).toISOString(), value: "", user: "", note: "", ...event }, waitsFor });
  }

  function beside(events) {
    waiting = waiting.filter((one) => number(events, one.event.kind) < one.waitsFor && Date.now() < one.untilMs);
    return waiting.map((one) => one.event);
  }
}

/** One sentence about an event. */
function eventText(event) {
  const payload = event.payload ?? {};
  switch (event.kind) {
    case "state":
      return stateText(event.value, payload);
    case "operation":
      return t("event.operation", { operation: word("operation", event.value) });
    case "label":
      return t("event.label", { label: word("label", event.value) });
    case "raised":
    case "updated":
      return t(`event.${event.kind}`, { ratio: ratioText(payload.ratio) });
    case "warning":
      return payload.is_on === false
        ? t("event.warning_ended", { warning: word("warning", event.value) })
        : t("event.warning", { warning: warningText(event.value, payload.detail) });
    case "bundle":
      return t("event.bundle", { bundle: event.value.slice(0, HASH_CHARACTERS) });
    case "evidence":
      return event.value === "lost" ? t("event.evidence_lost") : t("event.evidence_kept");
    case "learn":
      return event.user ? t("event.learn") : word("stage", event.value);
    case "relearn":
      return word("event", `relearn_${event.value}`, `${event.kind} ${event.value}`);
    case "mute":
      return event.value ? t("event.mute_for", { length: length(Number(event.value)) }) : t("event.mute");
    default:
      return word("event", event.kind, event.value || event.kind);
  }
}

function stateText(state, payload) {
  const reason = stateReason(state, payload);
  const name = word("state", state);
  return reason ? t("event.state_because", { state: name, reason }) : t("event.state", { state: name });
}

/** One alert in a list. */
export function alertRow(alert) {
  const isOpen = !alert.cleared_at;
  const lasted = isOpen
    ? t("alert.open")
    : t("alert.lasted", { length: lastedOf(alert) });
  return h(
    "li",
    { class: "alert-row", "data-open": isOpen },
    h(
      "a",
      { href: address(`alert/${part(alert.alert_id)}`) },
      h("strong", {}, alert.machine, " "),
      time(alert.raised_at, moment(alert.raised_at)),
    ),
    h("span", { class: "alert-ratio" }, t("alert.times_threshold", { ratio: ratioText(alert.peak_ratio) })),
    h("span", { class: "alert-lasted" }, lasted),
    h("span", { class: "alert-verdict" }, verdict(alert)),
  );
}

/** How long the fault of an alert lasted: from its beginning, which is before the alert, as in messages. */
export function lastedOf(alert) {
  return length(unixSeconds(alert.cleared_at) - unixSeconds(alert.fault_began_at));
}

function verdict(alert) {
  if (alert.label) return word("label", alert.label);
  return alert.acknowledged ? t("alert.acknowledged") : t("alert.not_acknowledged");
}
