/** How far the learning of a machine is. */

import { fill, h, setText } from "./dom.js";
import { sentence, t, word } from "./texts.js";

/** What happens next and what does not work, in sentences; empty for a machine that is armed. */
export function learningText({ stage, day, days, percent, training, missing, trouble }) {
  const parts = stage === "armed" ? [] : [t("learning.day", { day: Math.min(day, days), days, percent })];
  if (training) parts.push(t("learning.training"));
  else if (missing) parts.push(t("learning.missing", { missing }));
  if (trouble) parts.push(sentence(trouble));
  return parts.join(" ");
}

/** An element with the stage, a bar, and what is still needed. update(learning or null). */
export function learningProgress(section) {
  const stage = h("strong", {});
  const bar = h("progress", { max: 100, value: 0, "aria-label": t("learning.progress") });
  const text = h("p", {});
  const facts = h("ul", { class: "facts" });
  fill(section.querySelector(".learning-body"), h("p", {}, stage), bar, text, facts);
  return { update };

  function update(learning) {
    section.hidden = !learning;
    if (!learning) return;
    setText(stage, word("stage", learning.stage));
    bar.value = learning.percent;
    bar.hidden = learning.stage === "armed";
    setText(text, learningText(learning));
    const lines = [t("learning.pieces", { count: learning.pieces })];
    if (learning.bundle) lines.push(t("learning.bundle", { name: learning.bundle }));
    if (learning.set_aside) lines.push(t("learning.set_aside", { count: learning.set_aside }));
    if (learning.stage === "provisional") {
      lines.push(t("learning.alarms", { count: learning.unseen_alarms, most: learning.most_alarms }));
    }
    const shown = lines.join("\n");
    if (facts.dataset.shown !== shown) fill(facts, ...lines.map((line) => h("li", {}, line)));
    facts.dataset.shown = shown;
  }
}
