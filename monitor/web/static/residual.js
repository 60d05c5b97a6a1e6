/** The mean difference from the reconstruction by frequency, as bars for the mel bands. */

import { fill, h, svg } from "./dom.js";
import { fixed, frequency, number } from "./format.js";
import { bandPlace, frequencyMarks } from "./spectrogram.js";
import { t } from "./texts.js";

const WIDTH = 600;
const HEIGHT = 160;
const LEAST_RANGE_DB = 3;
const LEAST_NAMED_DB = 0.5;

/** Show the bands. residualDb: for each band; ranges: the frequencies that the alert names. */
export function showResidual(container, residualDb, melHz, ranges) {
  const range = Math.max(LEAST_RANGE_DB, Math.ceil(Math.max(...residualDb.map(Math.abs))));
  const y = (db) => (HEIGHT / 2) * (1 - db / range);
  const width = WIDTH / residualDb.length;
  const bars = residualDb.map((db, index) =>
    svg("rect", {
      class: db > 0 ? "louder" : "quieter",
      x: (index * width).toFixed(2),
      y: Math.min(y(0), y(db)).toFixed(2),
      width: Math.max(0.5, width - 0.5).toFixed(2),
      height: Math.abs(y(db) - y(0)).toFixed(2),
    }),
  );
  const marked = ranges.map(([low, high]) => {
    const from = WIDTH * bandPlace(low, melHz);
    return svg("rect", { class: "named-band", x: from, y: 0, width: Math.max(3, WIDTH * bandPlace(high, melHz) - from), height: HEIGHT });
  });
  const picture = svg(
    "svg",
    { class: "residual", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": spoken(residualDb, melHz) },
    ...marked,
    ...bars,
    svg("line", { class: "zero", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
  );
  const levels = svg(
    "svg",
    { class: "axis axis-frequency", "aria-hidden": "true" },
    ...[range, 0, -range].map((db) => {
      const at = 50 - (db / range) * 46;
      const text = `${db > 0 ? "+" : db < 0 ? "−" : ""}${number(Math.abs(db))}`;
      return svg("text", { x: "100%", y: `${at}%`, "text-anchor": "end", dy: "0.32em" }, text);
    }),
    svg("text", { x: "100%", y: "-0.4em", "text-anchor": "end" }, t("unit.db")),
  );
  const frequencies = svg(
    "svg",
    { class: "axis axis-time", "aria-hidden": "true" },
    ...frequencyMarks(melHz).map(({ place, text }) => svg("text", { x: `${100 * place}%`, y: "1em", "text-anchor": "middle" }, text)),
    svg("text", { x: "100%", y: "1em", "text-anchor": "end" }, t("unit.khz_short")),
  );
  fill(container, h("div", { class: "residual-chart" }, levels, picture, frequencies), h("p", { class: "chart-readout" }, spoken(residualDb, melHz)));
}

function spoken(residualDb, melHz) {
  const strongest = (sign) => residualDb.reduce((best, db, index) => (sign * db > sign * residualDb[best] ? index : best), 0);
  const [up, down] = [strongest(1), strongest(-1)];
  const parts = [];
  if (residualDb[up] > LEAST_NAMED_DB) parts.push(t("alert.louder_at", { level: fixed(residualDb[up]), frequency: frequency(melHz[up]) }));
  if (residualDb[down] < -LEAST_NAMED_DB) parts.push(t("alert.quieter_at", { level: fixed(-residualDb[down]), frequency: frequency(melHz[down]) }));
  return parts.join(", ");
}
