/** A spectrum of the sound of an alert over that of healthy sound, with the lines of a finding. */

import { fill, h, svg } from "./dom.js";
import { bands, number } from "./format.js";
import { t } from "./texts.js";

const WIDTH = 600;
const HEIGHT = 200;
const MOST_LABELS = 6;
const MOST_NAMED = 4;
const LEAST_DB = -200;

/**
 * spectrum: as docs/evidence.md describes it. Throws an error if it is damaged.
 * healthyPieces: how many pieces of healthy sound it was compared with.
 */
export function showSpectrum(container, spectrum, healthyPieces) {
  const { level_db: level, healthy_db: healthy, step_hz: step, comb_hz: comb } = spectrum;
  const top = step * (level.length - 1);
  const shown = [...level, ...healthy].filter((db) => db > LEAST_DB);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const margin = Math.max(1, 0.05 * (high - low));
  const [bottom, ceiling] = [low - margin, high + margin];
  const x = (hz) => hz / top;
  const y = (db) => 1 - (Math.max(db, bottom) - bottom) / (ceiling - bottom);
  const curve = (values, name) =>
    svg("polyline", {
      class: name,
      points: values.map((db, index) => `${(WIDTH * x(index * step)).toFixed(1)},${(HEIGHT * y(db)).toFixed(1)}`).join(" "),
    });
  const lines = comb.filter((hz) => hz <= top).map((hz) => svg("line", { class: "comb", x1: WIDTH * x(hz), x2: WIDTH * x(hz), y1: 0, y2: HEIGHT }));
  const title = spectrum.of === "envelope" ? t("finding.envelope", { band: bands([spectrum.band_hz]) }) : t("finding.sound");
  const spoken = marked(comb.filter((hz) => hz <= top));
  const picture = svg(
    "svg",
    { class: "spectrum", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}. ${spoken}` },
    ...lines,
    curve(healthy, "healthy"),
    curve(level, "now"),
  );
  fill(
    container,
    h("h3", {}, title),
    h("div", { class: "spectrum-chart" }, levelAxis(bottom, ceiling, y), picture, frequencyAxis(top, x)),
    h("p", { class: "chart-readout" }, t("finding.lines", { count: healthyPieces }), " ", spoken),
  );
}

function levelAxis(bottom, ceiling, y) {
  const marks = ticks(bottom, ceiling, 4).map((db) =>
    svg("text", { x: "100%", y: `${100 * y(db)}%`, "text-anchor": "end", dy: "0.32em" }, `${db < 0 ? "−" : ""}${number(Math.abs(db), 3)}`),
  );
  const unit = svg("text", { x: "100%", y: "-0.4em", "text-anchor": "end" }, t("unit.db"));
  return svg("svg", { class: "axis axis-level", "aria-hidden": "true" }, ...marks, unit);
}

function frequencyAxis(top, x) {
  const marks = ticks(0, top, MOST_LABELS)
    .filter((hz) => x(hz) < 0.95)
    .map((hz) => svg("text", { x: `${100 * x(hz)}%`, y: "1em", "text-anchor": hz === 0 ? "start" : "middle" }, number(hz, 4)));
  const unit = svg("text", { x: "100%", y: "1em", "text-anchor": "end" }, t("unit.hz_short"));
  return svg("svg", { class: "axis axis-time", "aria-hidden": "true" }, ...marks, unit);
}

/** Round values from low to high, at most so many. */
function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Number(value.toPrecision(6)));
  return found;
}

function marked(comb) {
  if (!comb.length) return "";
  const named = comb.slice(0, MOST_NAMED).map((hz) => number(hz, 4));
  const rates = `${named.join(", ")}${comb.length > MOST_NAMED ? " …" : ""} ${t("unit.hz_short")}`;
  return t("finding.comb", { count: comb.length, rates });
}
