/**
 * A picture of sound: mel bands upwards, time to the right, with both axes.
 *
 * The bands of the mel scale have equal heights, so the marks of the frequency axis are not at
 * equal distances. The picture has one pixel for each band and column; the style sheet scales it.
 */

import { ColourScale } from "./colour_scale.js";
import { fill, h, svg } from "./dom.js";
import { number } from "./format.js";
import { themeColour } from "./palette.js";
import { t } from "./texts.js";

const MARKS_KHZ = [0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32, 64];
const LEAST_DISTANCE = 0.085;

/**
 * A picture with its axes. name: what it shows, for people who do not see it.
 *
 * .element, .canvas, .frame (around the canvas, to put marks on it) and .scale (of its colours).
 */
export class Spectrogram {
  constructor(title, name) {
    this.canvas = h("canvas", { class: "picture", width: 1, height: 1, role: "img", "aria-label": name });
    this.frame = h("div", { class: "picture-frame" }, this.canvas);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.frequencies = svg("svg", { class: "axis axis-frequency", "aria-hidden": "true" });
    this.times = svg("svg", { class: "axis axis-time", "aria-hidden": "true" });
    this.scale = new ColourScale();
    this.element = h(
      "figure",
      { class: "spectrogram" },
      h("figcaption", {}, title, this.scale.element),
      this.frequencies,
      this.frame,
      this.times,
    );
    this.clear();
  }

  /** Set the size in bands and columns, and the centre frequency of each band. Clears the picture. */
  resize(melHz, nColumns) {
    this.canvas.width = Math.max(1, nColumns);
    this.canvas.height = Math.max(1, melHz.length);
    const marks = frequencyMarks(melHz);
    fill(
      this.frequencies,
      ...marks.map(({ text, place }) => label(text, "100%", percent(1 - place), "end", true)),
      svg("text", { class: "axis-unit", x: "100%", y: "0", "text-anchor": "end", dy: "-0.35em" }, t("unit.khz_short")),
    );
    for (const old of this.frame.querySelectorAll(".grid-line")) old.remove();
  }

  /** Mark times: [{place: 0 to 1, text}]. */
  markTimes(marks) {
    fill(
      this.times,
      ...marks.map(({ place, text }) => {
        const anchor = place < 0.04 ? "start" : place > 0.94 ? "end" : "middle";
        return label(text, percent(place), "1em", anchor, false);
      }),
    );
  }

  /** Mark ranges of frequency, [[low, high], ...] in hertz, at the right edge. */
  markBands(ranges, melHz) {
    for (const old of this.frame.querySelectorAll(".band-mark")) old.remove();
    for (const [low, high] of ranges) {
      const top = 1 - bandPlace(high, melHz);
      const mark = h("div", { class: "band-mark" });
      mark.style.top = percent(Math.max(0, top - 0.004));
      mark.style.height = percent(Math.max(0.02, 1 - bandPlace(low, melHz) - top + 0.008));
      this.frame.append(mark);
    }
  }

  /** Mark a moment with a line; place: from 0 to 1, or null for none. */
  markMoment(place) {
    this.frame.querySelector(".moment-mark")?.remove();
    if (place === null) return;
    const mark = h("div", { class: "moment-mark", "aria-hidden": "true" });
    mark.style.left = percent(place);
    this.frame.append(mark);
  }

  /** Draw the whole picture. values: uint8, one band after the other, the lowest first. */
  drawBands(values, colours) {
    const { width, height } = this.canvas;
    this.paint(width, 0, colours, (band, column) => values[band * width + column], height);
  }

  paint(nColumns, at, colours, valueOf, nBands) {
    const image = this.context.createImageData(nColumns, nBands);
    const pixels = new Uint32Array(image.data.buffer);
    for (let band = 0; band < nBands; band += 1) {
      const row = (nBands - 1 - band) * nColumns;
      for (let column = 0; column < nColumns; column += 1) {
        pixels[row + column] = colours[valueOf(band, column)];
      }
    }
    this.context.putImageData(image, at, 0);
  }

  /** Move the picture to the left and draw a new column at its right edge; null: an empty one. */
  push(values, colours) {
    const { width, height } = this.canvas;
    this.context.drawImage(this.canvas, 1, 0, width - 1, height, 0, 0, width - 1, height);
    if (values === null) this.clear(width - 1);
    else this.paint(1, width - 1, colours, (band) => values[band], height);
  }

  /** Make the picture empty, from this column on. */
  clear(from = 0) {
    this.context.fillStyle = themeColour("--grid");
    this.context.fillRect(from, 0, this.canvas.width - from, this.canvas.height);
  }
}

/** Where a frequency is among the bands, from 0 (lowest) to 1. */
export function bandPlace(hz, melHz) {
  const last = melHz.length - 1;
  if (last < 1 || hz <= melHz[0]) return 0;
  if (hz >= melHz[last]) return 1;
  const above = melHz.findIndex((centre) => centre > hz);
  const share = (hz - melHz[above - 1]) / (melHz[above] - melHz[above - 1]);
  return (above - 0.5 + share) / melHz.length;
}

/** Frequencies to mark, with their places; marks that would touch are left out. */
export function frequencyMarks(melHz) {
  const marks = [];
  for (const khz of MARKS_KHZ) {
    const hz = khz * 1000;
    if (hz < melHz[0] || hz > melHz[melHz.length - 1] * 1.03) continue;
    const place = bandPlace(hz, melHz);
    if (marks.length && place - marks[marks.length - 1].place < LEAST_DISTANCE) continue;
    if (place > 0.96) continue;
    marks.push({ place, text: number(khz, 2) });
  }
  return marks;
}

function label(text, x, y, anchor, isVertical) {
  return svg("text", { x, y, "text-anchor": anchor, dy: isVertical ? "0.32em" : "0" }, text);
}

function percent(share) {
  return `${(100 * share).toFixed(2)}%`;
}
