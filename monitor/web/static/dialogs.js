/** Questions before a change. Each one states the effect of the change. */

import { h, setText } from "./dom.js";
import { t } from "./texts.js";

let nDialogs = 0;

/**
 * Ask before a change. Returns when the dialog is closed: true if the change was made.
 *
 * title, effect and confirm are texts; fields are elements above the buttons. act makes the change;
 * if it throws, the message is shown and the dialog stays open. isDangerous colours the button.
 */
export function confirmChange({ title, effect, confirm, fields = [], act, isDangerous = false }) {
  nDialogs += 1;
  const titleId = `dialog-title-${nDialogs}`;
  const effectId = `dialog-effect-${nDialogs}`;
  const error = h("p", { class: "form-error", role: "alert" });
  const cancel = h("button", { type: "button", class: "quiet" }, t("common.cancel"));
  const submit = h("button", { type: "submit", class: isDangerous ? "danger" : "primary" }, confirm);
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: titleId }, title),
    h("div", { id: effectId, class: "effect" }, ...[effect].flat().map((one) => (one instanceof Node ? one : h("p", {}, one)))),
    ...fields,
    error,
    h("div", { class: "dialog-buttons" }, cancel, submit),
  );
  const dialog = h("dialog", { "aria-labelledby": titleId, "aria-describedby": effectId }, form);
  document.body.append(dialog);

  return new Promise((resolve) => {
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "done");
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      setText(error, "");
      try {
        await act();
        dialog.close("done");
      } catch (problem) {
        setText(error, problem.message);
        submit.disabled = false;
      }
    });
    dialog.showModal();
  });
}

/** A choice for a dialog. options: [[value, text], ...]. */
export function choiceField(name, options, chosen) {
  const select = h("select", { name }, ...options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  return { element: h("label", { class: "field" }, t(`field.${name}`), select), value: () => select.value };
}

/** A note for a dialog; the daemon keeps it with the change. */
export function noteField(text = t("field.note")) {
  const input = h("input", { type: "text", name: "note", maxlength: 500, autocomplete: "off" });
  return { element: h("label", { class: "field" }, text, input), value: () => input.value.trim() };
}

/** A short message at the bottom of the page, also for screen readers. */
export function announce(text) {
  setText(document.getElementById("announcement"), text);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => setText(document.getElementById("announcement"), ""), 8000);
}
