/** The axes of the chart of a history. */

import { number } from "./format.js";
import { themeColour } from "./palette.js";
import { position, ratioAt, TICKS } from "./ratio.js";
import { language, t } from "./texts.js";

const DAY_S = 86_400;
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });

/** Times of day, and the date where it changes. */
export function timeAxis() {
  return {
    ...axisColours(),
    space: 70,
    values: (_plot, splits, _axis, _space, step) =>
      splits.map((at, index) => {
        const moment_ = new Date(at * 1000);
        if (step >= DAY_S) return date.format(moment_);
        const isNewDay = index === 0 || new Date(splits[index - 1] * 1000).getDate() !== moment_.getDate();
        return isNewDay ? `${clock.format(moment_)}\n${date.format(moment_)}` : clock.format(moment_);
      }),
  };
}

/** Multiples of the threshold. */
export function ratioAxis() {
  return {
    ...axisColours(),
    size: 36,
    label: t("chart.axis"),
    labelSize: 16,
    labelFont: `12px ${themeColour("--font")}`,
    splits: () => TICKS.map(position),
    values: (_plot, splits) => splits.map((place) => number(ratioAt(place))),
  };
}

function axisColours() {
  return {
    stroke: themeColour("--text-soft"),
    font: `12px ${themeColour("--font")}`,
    grid: { stroke: themeColour("--grid"), width: 1 },
    ticks: { stroke: themeColour("--grid"), width: 1, size: 4 },
  };
}
