/** What an operator says about an alert: acknowledge it, and what it was. */

import { part, post } from "./api.js";
import { announce, confirmChange } from "./dialogs.js";
import { fill, h, icon, setText } from "./dom.js";
import { t, word } from "./texts.js";

const LABELS = ["fault", "false-alarm", "sensor", "ignore"];

/**
 * The buttons with their effects. Each one asks before it changes something. update(alert) shows what is stored. changed({label, note}) or
 * changed({acknowledged}) is called when the daemon has accepted a change.
 */
export function labelButtons({ acknowledgeArea, labelArea }, alertId, changed) {
  const note = h("textarea", { id: "note", rows: 2, maxlength: 500, placeholder: t("labelling.note_example") });
  let shown = {};
  let storedNote = "";
  const stored = h("p", { class: "stored", role: "status" });
  const acknowledge = choice("acknowledge", t("action.acknowledge"), t("labelling.acknowledge_effect"), acknowledgeIt);
  const labels = LABELS.map((label) => ({
    label,
    ...choice(label, t(`label.${label}`), t(`labelling.${label}_effect`), () => ask("label", { label })),
  }));
  acknowledge.button.classList.add("primary");
  fill(acknowledgeArea, ...acknowledge.element.childNodes);
  fill(
    labelArea,
    h("label", { class: "field", for: "note" }, t("labelling.note"), note),
    ...labels.map((one) => one.element),
    h("p", { class: "hint" }, t("labelling.nothing_adapts")),
    stored,
  );
  return { update };

  function update(alert) {
    shown = alert;
    acknowledgeArea.hidden = alert.acknowledged;
    setText(acknowledge.effect, acknowledgeEffect());
    for (const one of labels) one.press(one.label === alert.label);
    if (note.value === storedNote) note.value = alert.note ?? ""; // unless somebody writes one here
    storedNote = alert.note ?? "";
    setText(stored, alert.label ? t("labelling.stored", { label: word("label", alert.label) }) : "");
  }

  /** The button is gone afterwards: the keyboard continues with the labels. */
  async function acknowledgeIt() {
    if ((await ask("acknowledge", {})) && document.activeElement === document.body) labels[0].button.focus();
  }

  function acknowledgeEffect() {
    return t(shown.cleared_at ? "labelling.acknowledge_cleared_effect" : "labelling.acknowledge_effect");
  }

  function ask(action, body) {
    const isLabel = action === "label";
    const text = note.value.trim();
    const label = isLabel ? word("label", body.label) : "";
    const effect = isLabel
      ? [t(`labelling.${body.label}_effect`), t("labelling.can_be_changed")]
      : [acknowledgeEffect(), t("labelling.cannot_be_undone")];
    if (isLabel && shown.label) effect.unshift(t("labelling.replaces", { label: word("label", shown.label) }));
    return confirmChange({
      title: isLabel ? t("labelling.label_title", { label }) : t("labelling.acknowledge_title"),
      effect,
      confirm: isLabel ? label : t("action.acknowledge"),
      act: async () => {
        await post(`api/alert/${part(alertId)}/${action}`, { ...body, note: text });
        announce(isLabel ? t("labelling.stored", { label }) : t("labelling.acknowledged"));
        changed(isLabel ? { ...body, note: text } : { acknowledged: true });
      },
    });
  }
}

function choice(name, text, effect, act) {
  const button = h("button", { type: "button", "data-choice": name, "aria-describedby": `effect-${name}`, onclick: act }, icon(`label-${name}`), text);
  const explanation = h("p", { id: `effect-${name}` }, effect);
  const element = h("div", { class: "choice" }, button, explanation);
  return { element, button, effect: explanation, press: (isPressed) => button.setAttribute("aria-pressed", String(Boolean(isPressed))) };
}
