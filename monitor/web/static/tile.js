/** One machine on the overview. */

import { address, part } from "./api.js";
import { fill, h, icon, setAttribute, setText } from "./dom.js";
import { ago, moment } from "./format.js";
import { ratioBar, showRatio, sparkline } from "./ratio.js";
import { explanation, kind, needsAttention, sinceOf, stateBadge } from "./state.js";
import { t, word } from "./texts.js";

/** An element that shows a machine. update(machine) changes only what differs. */
export function tile(id, showsNode) {
  const name = h("a", { class: "tile-name" });
  const node = h("span", { class: "tile-node" });
  const state = h("span", { class: "tile-state" });
  const since = h("span");
  const sinceLine = h("span", { class: "tile-since" }, h("span", { class: "tile-for" }, t("overview.for"), " "), since);
  const bar = ratioBar();
  const ratio = h("span", { class: "tile-ratio" });
  const spark = sparkline();
  const operation = h("span", { class: "tile-operation" });
  const reason = h("p", { class: "tile-reason" });
  const listen = h("a", { class: "button tile-listen" }, icon("play"), t("overview.listen"));
  let shownState = null;

  const element = h(
    "li",
    { class: "tile", "data-machine": id },
    h("h3", {}, name, showsNode ? node : null),
    h("p", { class: "tile-line" }, state, sinceLine),
    h("p", { class: "tile-bar" }, bar.element, ratio),
    h("div", { class: "tile-why" }, reason, listen),
    h("p", { class: "tile-day" }, h("span", { class: "day-name", "aria-hidden": "true" }, t("overview.day")), spark.element, operation),
  );
  return { element, update };

  function update(machine) {
    setText(name, machine.id);
    setAttribute(name, "href", machine.read_only ? null : address(`machine/${part(machine.id)}`));
    setText(node, machine.node ?? "");
    const shown = `${machine.state} ${machine.acknowledged}`;
    if (shown !== shownState) fill(state, stateBadge(machine));
    shownState = shown;
    element.dataset.kind = kind(machine.state);
    element.classList.toggle("acknowledged", Boolean(machine.acknowledged));
    element.classList.toggle("attention", needsAttention(machine));
    const began = sinceOf(machine);
    sinceLine.hidden = !began;
    setText(since, began ? ago(began) : "");
    setAttribute(sinceLine, "title", began ? moment(began, { seconds: true }) : null);
    const isAlarm = kind(machine.state) === "alarm";
    bar.update(machine.ratio, isAlarm);
    showRatio(ratio, machine.ratio, isAlarm);
    spark.update(machine.sparkline);
    setText(operation, machine.operation ? word("operation", machine.operation) : "");
    setText(reason, explanation(machine));
    reason.hidden = !reason.textContent;
    listen.hidden = !machine.alert_id || machine.read_only;
    setAttribute(listen, "href", machine.alert_id ? address(`alert/${part(machine.alert_id)}`) : null);
    setAttribute(listen, "aria-label", t("overview.listen_to", { machine: machine.id }));
  }
}
