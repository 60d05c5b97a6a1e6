/**
 * The live sound of a machine: what was received, the reconstruction, and the difference.
 *
 * Columns arrive as bytes in base64. The pictures move to the left by one column at a time, in the
 * pace of the sound, so that they do not jump with each message.
 */

import { rangeOf, stretched } from "./contrast.js";
import { fill, h } from "./dom.js";
import { LevelMeter } from "./level_meter.js";
import { difference, loudness } from "./palette.js";
import { Spectrogram } from "./spectrogram.js";
import { t } from "./texts.js";

const SHOWN_S = 60;
const LATE_S = 3;
const CONTRAST_S = 2;
const DIFFERENCE_DB = 10;
const TICKS_S = [60, 45, 30, 15, 0];
const PANELS = ["sound", "reconstruction", "difference"];

/** The three pictures and the level. Call begin with the header, then columns for each message. */
export class Waterfall {
  constructor(container) {
    this.panels = PANELS.map((name) => ({
      view: new Spectrogram(t(`sound.${name}`), t(`sound.live_${name}`)),
      colours: loudness,
      waiting: [],
      shown: [],
    }));
    this.range = [0, 255];
    this.level = new LevelMeter();
    this.header = null;
    this.due = 0;
    fill(container, h("div", { class: "pictures" }, ...this.panels.map(({ view }) => view.element)));
    requestAnimationFrame((now) => this.frame(now));
    setInterval(() => this.adapt(), CONTRAST_S * 1000);
  }

  /** header: n_mels, mel_hz, column_hz, low_db, high_db, residual_db. A new header begins empty pictures. */
  begin(header) {
    this.header = header;
    this.nColumns = Math.round(SHOWN_S * header.column_hz);
    const marks = TICKS_S.map((s) => ({
      place: 1 - s / SHOWN_S,
      text: s === 0 ? t("sound.now") : t("sound.seconds_ago", { value: s }),
    }));
    for (const panel of this.panels) {
      panel.view.resize(header.mel_hz, this.nColumns);
      panel.view.clear();
      panel.view.markTimes(marks);
      panel.waiting = [];
      panel.shown = [];
    }
    const most = (127 * DIFFERENCE_DB) / header.residual_db;
    this.panels[2].colours = stretched(difference, 128 - most, 128 + most);
    this.panels[2].view.scale.show(difference, -DIFFERENCE_DB, DIFFERENCE_DB);
    this.use([0, 255]);
  }

  /** The range of values that the colours of sound and reconstruction have from now on. */
  use(range) {
    this.range = range;
    const { low_db: low, high_db: high } = this.header;
    const levels = range.map((value) => low + ((high - low) * value) / 255);
    for (const { view } of this.panels.slice(0, 2)) view.scale.show(loudness, ...levels);
  }

  /** Draw sound and reconstruction again if their levels need other colours. */
  adapt() {
    const [sound, reconstruction] = this.panels;
    const range = rangeOf(sound.shown);
    if (this.header === null || range.join() === this.range.join()) return;
    this.use(range);
    for (const panel of [sound, reconstruction]) {
      panel.colours = stretched(loudness, ...range);
      panel.view.clear();
      for (const column of panel.shown) panel.view.push(column, panel.colours);
    }
  }

  /** Add the columns of a message, as decodeColumns gives them. */
  add({ n, images, levelDbfs, isClipping, isQuiet }) {
    const nMels = this.header.mel_hz.length;
    this.panels.forEach((panel, index) => {
      for (let column = 0; column < n; column += 1) {
        panel.waiting.push(images[index]?.subarray(column * nMels, (column + 1) * nMels) ?? null);
      }
    });
    this.level.show(levelDbfs, isClipping, isQuiet);
  }

  frame(now) {
    requestAnimationFrame((later) => this.frame(later));
    const nWaiting = this.panels[0].waiting.length;
    if (this.header === null || nWaiting === 0) return;
    // What came late is drawn at once, and the rest somewhat faster when much of it waits, so that
    // the picture never falls behind.
    const hz = this.header.column_hz;
    const periodMs = 1000 / hz / Math.max(1, nWaiting / hz);
    if (this.due === 0 || now - this.due > 2000) this.due = now;
    let n = Math.max(0, nWaiting - Math.ceil(LATE_S * hz));
    while (this.due <= now && n < nWaiting) {
      this.due += periodMs;
      n += 1;
    }
    if (n > 0) for (const panel of this.panels) show(panel, n, this.nColumns);
  }
}

/** Draw the next n columns; those without a picture are empty. */
function show(panel, n, most) {
  const columns = panel.waiting.splice(0, n);
  for (const column of columns) panel.view.push(column, panel.colours);
  panel.shown = [...panel.shown, ...columns].slice(-most);
}
