/** What an operator can do with a machine. Each dialog states the effect before it happens. */

import { part, post } from "./api.js";
import { announce, choiceField, confirmChange, noteField } from "./dialogs.js";
import { fill, h, icon, keepFocus } from "./dom.js";
import { mayChange } from "./page.js";
import { t } from "./texts.js";

const MUTES_S = [900, 3600, 2 * 3600, 8 * 3600, 86_400, 7 * 86_400];
const DEFAULT_MUTE_S = 3600;
const ICONS = { mute: "muted", unmute: "sound", arm: "arm", learn: "learning", rollback: "back" };

/**
 * The buttons of a machine. changed() is called after each change.
 *
 * update(machine) shows the buttons that its state allows.
 */
export function actionButtons(area, machineId, changed) {
  let shown = null;
  return { update };

  function update(machine) {
    const names = mayChange && !machine.read_only ? available(machine) : [];
    if (names.join() === shown) return;
    shown = names.join();
    keepFocus(() => fill(area, ...names.map((name) => button(name, machineId, changed))), area);
    area.hidden = names.length === 0;
  }
}

function available(machine) {
  if (machine.state === "unknown") return [];
  const names = [machine.muted_until ? "unmute" : "mute"];
  const stage = machine.learning?.stage;
  if (stage && stage !== "armed") names.push("arm");
  if (machine.learning) names.push("learn");
  if (machine.learning?.earlier_bundles) names.push("rollback");
  return names;
}

function button(name, machineId, changed) {
  const press = async () => {
    if (await ask(name, machineId)) changed();
  };
  return h("button", { type: "button", onclick: press }, icon(ICONS[name]), t(`action.${name}`));
}

function ask(name, machineId) {
  const duration = choiceField(
    "mute_length",
    MUTES_S.map((seconds) => [String(seconds), t(`mute_length.s${seconds}`)]),
    String(DEFAULT_MUTE_S),
  );
  const note = noteField();
  const isMute = name === "mute";
  return confirmChange({
    title: t(`action.${name}_title`, { machine: machineId }),
    effect: t(`action.${name}_effect`, { machine: machineId }).split("\n"),
    confirm: t(`action.${name}`),
    isDangerous: name === "learn" || name === "rollback",
    fields: isMute ? [duration.element, note.element] : [],
    act: async () => {
      const body = isMute ? { for_s: Number(duration.value()), note: note.value() } : {};
      await post(`api/machine/${part(machineId)}/${name}`, body);
      announce(t(`action.${name}_done`, { machine: machineId }));
    },
  });
}
