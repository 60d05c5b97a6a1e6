/**
 * The ratio (score divided by threshold) on one scale for all machines.
 *
 * The threshold, 1.0, is always in the middle. Below it the scale is linear; above it, it becomes
 * narrower, so that any ratio has a place: 2 is at three quarters, 10 at 95 %.
 */

import { setAttribute, setText, svg } from "./dom.js";
import { number, ratioText } from "./format.js";
import { t } from "./texts.js";

/** Ratios that a chart marks. */
export const TICKS = [0, 0.5, 1, 2, 10];

/** Where a ratio is on the scale, from 0 to 1. */
export function position(ratio) {
  return ratio <= 1 ? Math.max(0, ratio) / 2 : 1 - 0.5 / ratio;
}

/** The ratio at this place: the inverse of position. */
export function ratioAt(place) {
  return place <= 0.5 ? place * 2 : 0.5 / Math.max(1e-6, 1 - place);
}

/**
 * A horizontal bar with the threshold as a line. update(ratio, isAlarm): single scores of a healthy
 * machine can be above the threshold, so the colour follows the state and not the ratio.
 */
export function ratioBar() {
  const value = svg("rect", { class: "bar-value", x: 0, y: 0, height: 8, width: 0 });
  const picture = svg(
    "svg",
    { class: "ratio-bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img" },
    svg("rect", { class: "bar-ground", x: 0, y: 0, width: 100, height: 8 }),
    value,
    svg("line", { class: "bar-threshold", x1: 50, x2: 50, y1: 0, y2: 8 }),
  );
  return { element: picture, update };

  function update(ratio, isAlarm) {
    const known = ratio !== null && ratio !== undefined;
    setAttribute(value, "width", known ? Math.max(1, 100 * position(ratio)).toFixed(1) : 0);
    picture.classList.toggle("alarm", isAlarm);
    setAttribute(
      picture,
      "aria-label",
      known ? t("common.ratio_spoken", { value: ratioText(ratio) }) : t("common.not_scored"),
    );
  }
}

const SPARK_WIDTH = 96;
const SPARK_HEIGHT = 20;

/** The highest ratio of each quarter hour of a day. Those with an open alert have another colour. */
export function sparkline() {
  const quiet = svg("path", { class: "spark-quiet" });
  const alarm = svg("path", { class: "spark-alarm" });
  const picture = svg(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
    },
    svg("line", { class: "spark-threshold", x1: 0, x2: SPARK_WIDTH, y1: 10, y2: 10 }),
    quiet,
    alarm,
  );
  return { element: picture, update };

  /** day: ratio_max and alerts of api/overview, or null without a history. */
  function update(day) {
    const ratios = day?.ratio_max ?? [];
    const width = SPARK_WIDTH / Math.max(1, ratios.length);
    const paths = { quiet: "", alarm: "" };
    ratios.forEach((ratio, index) => {
      if (ratio === null) return;
      const top = SPARK_HEIGHT * (1 - position(ratio));
      const height = Math.max(0.8, SPARK_HEIGHT - top);
      const bar = `M${(index * width).toFixed(1)} ${SPARK_HEIGHT}v${-height.toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}z`;
      paths[day.alerts.includes(index) ? "alarm" : "quiet"] += bar;
    });
    setAttribute(quiet, "d", paths.quiet);
    setAttribute(alarm, "d", paths.alarm);
    const scored = ratios.filter((ratio) => ratio !== null);
    setAttribute(
      picture,
      "aria-label",
      scored.length
        ? t("overview.day_spoken", {
            highest: ratioText(Math.max(...scored)),
            hours: number(day.alerts.length / 4, 3),
          })
        : t("overview.day_without_scores"),
    );
  }
}

/** The number beside a bar. */
export function showRatio(element, ratio, isAlarm) {
  setText(element, ratioText(ratio));
  element.classList.toggle("alarm", isAlarm);
}
