/**
 * Relearning: a new bundle that knows the false alarms.
 *
 * The daemon trains it beside the one in use. When it is ready, the operator sees which stored
 * alerts and which healthy sound each of the two would report, and decides.
 */

import { address, getJson, part, post } from "./api.js";
import { announce, choiceField, confirmChange } from "./dialogs.js";
import { fill, h, keepFocus, setText } from "./dom.js";
import { ago, fixed, length, moment, number, ratioText } from "./format.js";
import { mayChange } from "./page.js";
import { sentence, t, word } from "./texts.js";

const LEAST_PIECES = 3;
const COLLECT_S = [0, 86_400, 7 * 86_400];

/** The part of the page about the relearning of a machine. refresh() loads it again. */
export function relearningView(section, machineId) {
  const state = h("p", { role: "status" });
  const began = h("p", { class: "soft" });
  const bar = h("progress", { max: 100, value: 0, hidden: true, "aria-label": t("relearning.progress") });
  const trouble = h("p", { class: "form-error" });
  const table = h("div");
  const buttons = h("div", { class: "button-row" });
  let shown = null;
  fill(section.querySelector(".relearning-body"), state, bar, began, trouble, table, buttons);
  return { refresh };

  async function refresh() {
    try {
      const { relearning } = await getJson(`api/machine/${part(machineId)}/relearning`);
      section.hidden = relearning === null && !mayChange;
      show(relearning);
    } catch (problem) {
      section.hidden = false;
      setText(trouble, problem.message);
    }
  }

  function show(relearning) {
    setText(state, relearning ? stepText(relearning) : t("relearning.hint"));
    setText(began, relearning?.began_at ? beganText(relearning) : "");
    setText(trouble, sentence(relearning?.trouble));
    bar.hidden = relearning?.step !== "collecting";
    if (!bar.hidden) bar.value = (100 * relearning.collected_s) / Math.max(1, relearning.collect_s);
    const key = JSON.stringify([relearning?.step, relearning?.comparison?.made_at]);
    if (key === shown) return;
    shown = key;
    const isReady = relearning?.step === "ready" && relearning.comparison;
    fill(table, isReady ? comparison(relearning.comparison) : null);
    keepFocus(() => fill(buttons, ...(mayChange ? choices(relearning, isReady) : [])), buttons);
  }

  function choices(relearning, isReady) {
    const button = (name, act, style = "") => h("button", { type: "button", class: style, onclick: act }, t(`relearning.${name}`));
    if (isReady) {
      const text = comparison(relearning.comparison);
      return [button("accept", () => ask("accept", [text]), "primary"), button("discard", () => ask("discard", []))];
    }
    const restarts = !relearning || relearning.step === "failed";
    return [restarts ? button("start", begin) : null, relearning ? button("discard", () => ask("discard", [])) : null];
  }

  async function begin() {
    const collect = choiceField(
      "collect",
      COLLECT_S.map((seconds) => [String(seconds), seconds ? t("relearning.collect_for", { length: length(seconds) }) : t("relearning.collect_nothing")]),
      "0",
    );
    const isDone = await confirmChange({
      title: t("relearning.start_title", { machine: machineId }),
      effect: t("relearning.start_effect").split("\n"),
      confirm: t("relearning.start"),
      fields: [collect.element],
      act: () => send("relearn", Number(collect.value()) ? { collect_s: Number(collect.value()) } : {}),
    });
    if (isDone) await refresh();
  }

  async function ask(name, more) {
    const isDone = await confirmChange({
      title: t(`relearning.${name}_title`, { machine: machineId }),
      effect: [...t(`relearning.${name}_effect`).split("\n"), ...more],
      confirm: t(`relearning.${name}`),
      isDangerous: name === "accept",
      act: () => send(`relearn_${name}`, {}),
    });
    if (isDone) await refresh();
  }

  async function send(command, body) {
    await post(`api/machine/${part(machineId)}/${command}`, body);
    announce(t(`relearning.done_${command}`, { machine: machineId }));
  }
}

/** What happens now, in the words of the page. */
function stepText({ step, collect_s: collect, collected_s: collected, missing }) {
  const values = { collected: length(collected ?? 0), total: length(collect ?? 0) };
  const text = t(`relearning.step_${step}`, values);
  return missing ? `${text} ${t("learning.missing", { missing })}` : text;
}

function beganText({ began_at: at, by }) {
  return t("relearning.began", { at: moment(at), ago: ago(at), by: by ? t("event.by", { user: by }) : "" }).trim();
}

function comparison({ healthy, injected_faults: injected, alerts, warnings }) {
  const share = (value) => (value === null ? "–" : t("relearning.percent", { value: fixed(100 * value, 0) }));
  const rows = [
    row("th", ["", t("relearning.before"), t("relearning.after")]),
    row("td", [t("relearning.healthy", { total: fixed(healthy.minutes, 0) }), number(healthy.above_before), number(healthy.above_after)]),
    ...worst(healthy.worst ?? []).map((piece) => row("td", [pieceName(piece), place(piece.ratio_before, piece.above_before), place(piece.ratio_after, piece.above_after)])),
    row("td", [t("relearning.injected"), share(injected.before), share(injected.after)]),
    ...alerts.map((alert) => row("td", [alertName(alert), verdict(alert.ratio_before, alert.alarm_before), verdict(alert.ratio_after, alert.alarm_after)])),
  ];
  return h(
    "div",
    {},
    ...warnings.map((text) => h("p", { class: "banner" }, sentence(text))),
    h("div", { class: "scroll" }, h("table", { class: "comparison" }, ...rows)),
    h("p", { class: "hint" }, t("relearning.ratios")),
  );
}

/** The healthy sound that one of the bundles puts above its threshold, and always some of the highest. */
function worst(pieces) {
  return pieces.filter((piece, number) => number < LEAST_PIECES || piece.above_before || piece.above_after);
}

function pieceName(piece) {
  return t("relearning.piece", { at: piece.recorded_at ? moment(piece.recorded_at, { seconds: true }) : piece.name, length: length(piece.seconds) });
}

function alertName(alert) {
  const name = word("label", alert.label || "none");
  const at = alert.raised_at ? `${moment(alert.raised_at)}, ` : "";
  return h("a", { href: address(`alert/${part(alert.alert_id)}`) }, t("relearning.alert", { name: `${at}${name}` }));
}

function verdict(ratio, isAlarm) {
  return `${ratioText(ratio)} ${isAlarm ? t("relearning.alarm") : t("relearning.no_alarm")}`;
}

/** Where the score of healthy sound is; a ratio is null where nothing could be scored. */
function place(ratio, isAbove) {
  if (ratio === null) return ratioText(ratio);
  return `${ratioText(ratio)} ${isAbove ? t("relearning.above") : t("relearning.below")}`;
}

function row(tag, cells) {
  return h("tr", {}, ...cells.map((cell) => h(tag, {}, cell)));
}
