/** The colours of a picture of sound, with the levels of the first and the last one. */

import { h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./texts.js";

const STEP = 15; // of 256 colours: the stops of the gradient are 0, 15, ... 255

/** Hidden until show is called. */
export class ColourScale {
  constructor() {
    this.colours = h("span", { class: "scale-colours" });
    this.low = h("span");
    this.high = h("span");
    this.element = h("span", { class: "colour-scale", hidden: true }, this.low, this.colours, this.high);
  }

  /** colours: as in palette.js, from the level lowDb to the level highDb. */
  show(colours, lowDb, highDb) {
    const bytes = new Uint8Array(colours.buffer);
    const stops = [];
    for (let at = 0; at < colours.length; at += STEP) stops.push(`rgb(${bytes.subarray(4 * at, 4 * at + 3).join()})`);
    this.colours.style.backgroundImage = `linear-gradient(to right, ${stops.join()})`;
    this.low.textContent = signed(lowDb);
    this.high.textContent = `${signed(highDb)} ${t("unit.db")}`;
    this.element.hidden = false;
  }
}

function signed(db) {
  const rounded = Math.round(db);
  return `${rounded < 0 ? "−" : ""}${number(Math.abs(rounded), 3)}`;
}
