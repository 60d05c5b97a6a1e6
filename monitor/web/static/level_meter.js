/** The level of the live sound. */

import { h, setText } from "./dom.js";
import { fixed } from "./format.js";
import { t } from "./texts.js";

const LOWEST_DBFS = -80;

/** The level in dBFS as a bar, with the words "too quiet" and "clipping" where they apply. */
export class LevelMeter {
  constructor() {
    this.bar = h("meter", { min: LOWEST_DBFS, max: 0, low: -55, high: -3, optimum: -30, value: LOWEST_DBFS });
    this.number = h("span", { class: "level-number" }, "–");
    this.verdict = h("span", { class: "level-verdict", role: "status" });
    const name = h("label", { class: "level-name" }, t("sound.level"), this.bar);
    this.element = h("div", { class: "level" }, name, this.number, this.verdict);
  }

  /** levelDbfs: null if no sound arrives. */
  show(levelDbfs, isClipping, isQuiet) {
    const known = levelDbfs !== null && Number.isFinite(levelDbfs);
    this.bar.value = known ? Math.max(LOWEST_DBFS, levelDbfs) : LOWEST_DBFS;
    setText(this.number, known ? t("unit.dbfs", { value: fixed(levelDbfs, 0) }) : "–");
    const verdict = isClipping ? "clipping" : isQuiet ? "quiet" : known ? "good" : "none";
    setText(this.verdict, t(`sound.level_${verdict}`));
    this.element.dataset.verdict = verdict;
  }
}
