/** What an operator says about an alert: acknowledge it, and what it was. */

import { part, post } from "./api.js";
import { announce } from "./dialogs.js";
import { fill, h, icon, setText } from "./dom.js";
import { t, word } from "./texts.js";

const LABELS = ["fault", "false-alarm", "sensor", "ignore"];

/**
 * The buttons with their effects. update(alert) shows what is stored. changed({label, note}) or
 * changed({acknowledged}) is called when the daemon has accepted a change.
 */
export function labelButtons({ acknowledgeArea, labelArea }, alertId, changed) {
  const note = h("textarea", { id: "note", rows: 2, maxlength: 500, placeholder: t("labelling.note_example") });
  const error = h("p", { class: "form-error", role: "alert" });
  const stored = h("p", { class: "stored", role: "status" });
  const acknowledge = choice("acknowledge", t("action.acknowledge"), t("labelling.acknowledge_effect"), () => send("acknowledge", {}));
  const labels = LABELS.map((label) => ({
    label,
    ...choice(label, t(`label.${label}`), t(`labelling.${label}_effect`), () => send("label", { label })),
  }));
  acknowledge.button.classList.add("primary");
  fill(acknowledgeArea, ...acknowledge.element.childNodes);
  fill(
    labelArea,
    h("label", { class: "field", for: "note" }, t("labelling.note"), note),
    ...labels.map((one) => one.element),
    h("p", { class: "hint" }, t("labelling.nothing_adapts")),
    stored,
    error,
  );
  return { update };

  function update(alert) {
    acknowledgeArea.hidden = alert.acknowledged;
    for (const one of labels) one.press(one.label === alert.label);
    if (!note.value) note.value = alert.note ?? "";
    setText(stored, alert.label ? t("labelling.stored", { label: word("label", alert.label) }) : "");
  }

  async function send(action, body) {
    setText(error, "");
    try {
      await post(`api/alert/${part(alertId)}/${action}`, { ...body, note: note.value.trim() });
      announce(action === "label" ? t("labelling.stored", { label: word("label", body.label) }) : t("labelling.acknowledged"));
      changed(action === "label" ? { ...body, note: note.value.trim() } : { acknowledged: true });
    } catch (problem) {
      setText(error, problem.message);
    }
  }
}

function choice(name, text, effect, act) {
  const button = h("button", { type: "button", "data-choice": name, "aria-describedby": `effect-${name}`, onclick: act }, icon(`label-${name}`), text);
  const element = h("div", { class: "choice" }, button, h("p", { id: `effect-${name}` }, effect));
  return { element, button, press: (isPressed) => button.setAttribute("aria-pressed", String(Boolean(isPressed))) };
}
