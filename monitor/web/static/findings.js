/** What a diagnosis found in the sound of an alert: in words, as a spectrum, and to listen to. */

import { address, getJson, part } from "./api.js";
import { fill, h } from "./dom.js";
import { bands, fixed } from "./format.js";
import { showSpectrum } from "./spectrum.js";
import { t } from "./texts.js";

/** section: hidden while there is nothing to say; container: filled with the findings. */
export class FindingsView {
  constructor(section, container) {
    this.section = section;
    this.container = container;
    this.shown = null;
    this.audio = null;
  }

  /** Show the newest findings. They do not change while somebody listens. */
  update(alert, pieces) {
    const diagnosed = pieces.filter((piece) => Array.isArray(piece.diagnosis?.findings));
    const piece = diagnosed.findLast((one) => one.diagnosis.findings.length) ?? diagnosed.at(-1) ?? null;
    const found = piece?.diagnosis.findings ?? alert.payload?.findings ?? [];
    const notes = piece?.diagnosis.notes ?? [];
    const key = JSON.stringify([piece?.evidence_id, found.map((one) => one.text), notes]);
    if (key === this.shown || (this.audio && !this.audio.paused)) return;
    this.shown = key;
    this.section.hidden = !piece && !found.length;
    fill(this.container, ...(found.length ? this.described(found, notes, piece) : nothing(notes)));
  }

  described(found, notes, piece) {
    const list = found.map(({ text, level_db: level }) =>
      h("li", {}, h("span", { class: "finding-text" }, text), " ", h("span", { class: "soft" }, t("finding.level", { level: fixed(level, 0) }))),
    );
    const remarks = notes.map((note) => h("p", { class: "hint" }, note));
    const parts = [h("ol", { class: "findings" }, ...list), ...remarks, h("p", { class: "hint" }, t("finding.hint"))];
    return piece ? [...parts, ...this.pictured(found, piece)] : parts;
  }

  /** The spectrum and the sound of one finding, with a choice if there are several. */
  pictured(found, piece) {
    const area = h("div", { class: "finding" });
    const show = (index) => this.picture(area, found[index], index, piece);
    show(0);
    return found.length > 1 ? [choice(found.length, show), area] : [area];
  }

  picture(area, finding, index, piece) {
    const chart = h("div", { class: "spectrum-area" });
    fill(area, chart, this.sound(finding, index, piece));
    draw(chart, finding, piece);
  }

  sound(finding, index, piece) {
    this.audio = null;
    if (!finding.listen_hz || !piece.has_sound) return null;
    const name = t("finding.listen", { band: bands([finding.listen_hz]) });
    const trouble = h("p", { class: "form-error", role: "alert" });
    const href = address(`evidence/${part(piece.evidence_id)}/band.opus?finding=${index + 1}`);
    this.audio = h("audio", { controls: true, preload: "none", "aria-label": name, src: href });
    this.audio.addEventListener("error", () => fill(trouble, t("alert.clip_failed")));
    return h("div", { class: "player-controls" }, h("span", { class: "soft" }, name), this.audio, trouble);
  }
}

async function draw(chart, finding, piece) {
  if (finding.spectrum === null || finding.spectrum === undefined) return;
  try {
    const { diagnosis } = await getJson(`evidence/${part(piece.evidence_id)}/metadata.json`);
    showSpectrum(chart, diagnosis.spectra[finding.spectrum], diagnosis.healthy_pieces);
  } catch {
    fill(chart, h("p", { class: "hint" }, t("finding.failed")));
  }
}

function choice(count, show) {
  const options = Array.from({ length: count }, (_, index) => {
    const input = h("input", { type: "radio", name: "finding", checked: index === 0, onchange: () => show(index) });
    return h("label", { class: "segment" }, input, h("span", {}, t("finding.number", { number: index + 1 })));
  });
  return h("fieldset", { class: "segments" }, h("legend", { class: "hidden" }, t("finding.which")), ...options);
}

function nothing(notes) {
  return [h("p", { class: "nothing" }, t("finding.nothing")), ...notes.map((note) => h("p", { class: "hint" }, note))];
}
