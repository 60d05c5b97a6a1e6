/**
 * The ratio of a machine over hours to months, with operation and alerts, drawn by uPlot.
 *
 * The vertical scale is that of ratio.js: the threshold is in the middle. When the shown time
 * changes, the data are loaded again at the resolution that fits.
 */

import { ratioAxis, timeAxis } from "./chart_axes.js";
import { alertMarks, paintOperation, paintThresholds } from "./chart_marks.js";
import { alone, columns, withGaps } from "./chart_rows.js";
import { summaryText } from "./chart_summary.js";
import { touchGestures } from "./chart_touch.js";
import { nowSeconds } from "./clock.js";
import { fill, h, setAttribute, setText } from "./dom.js";
import { moment, ratioText } from "./format.js";
import { onSchemeChange, themeColour } from "./palette.js";
import { t, word } from "./texts.js";

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
const SHORTEST_S = 10 * 60;
const REFRESH_S = 60;
const RANGES_S = { hour: HOUR_S, six_hours: 6 * HOUR_S, day: DAY_S, week: 7 * DAY_S, month: 30 * DAY_S, year: 365 * DAY_S };

/**
 * load(sinceS, untilS, points) gives {rows, alerts, warningRatio}: rows of ratio_min, ratio_mean,
 * ratio_max (null where nothing was scored), operation, start_s and step_s, oldest first.
 */
export class HistoryChart {
  constructor(container, load, { since = null, until = null, alertId = null } = {}) {
    this.load = load;
    this.alertId = alertId;
    this.home = since === null ? null : [since, until];
    this.isFixed = this.home !== null;
    this.until = until ?? nowSeconds();
    this.since = since ?? this.until - RANGES_S.six_hours;
    this.isFirst = this.home === null;
    this.data = { rows: [], alerts: [], warningRatio: null };
    this.request = 0;
    this.plotArea = h("div", { class: "chart-area" });
    this.readout = h("p", { class: "chart-readout" });
    this.summary = h("p", { class: "chart-summary", role: "status" });
    this.legend = legend();
    fill(container, this.controls(), this.plotArea, this.legend, this.readout, this.summary);
    this.draw();
    new ResizeObserver(() => this.resize()).observe(this.plotArea);
    onSchemeChange(() => this.draw());
    this.refresh();
    setInterval(() => this.follow(), REFRESH_S * 1000);
  }

  controls() {
    const press = (key, action, pressed = null) =>
      h("button", { type: "button", class: "small", onclick: () => this.spoken(action), "aria-pressed": pressed }, t(`chart.${key}`));
    const ranges = this.home === null ? Object.entries(RANGES_S) : [];
    this.rangeButtons = ranges.map(([name, seconds]) => ({
      seconds,
      element: press(name, () => this.showLast(seconds), "false"),
    }));
    const home = this.home === null ? null : press("this_alert", () => this.show(...this.home));
    return h(
      "div",
      { class: "chart-controls" },
      h("div", { class: "button-row", role: "group", "aria-label": t("chart.range") }, home, ...this.rangeButtons.map((one) => one.element)),
      h(
        "div",
        { class: "button-row", role: "group", "aria-label": t("chart.move") },
        press("earlier", () => this.move(-0.5)),
        press("later", () => this.move(0.5)),
        press("closer", () => this.zoom(0.5)),
        press("wider", () => this.zoom(2)),
      ),
    );
  }

  /** Do what the viewer asks for: a screen reader says what is then shown. */
  spoken(action) {
    setAttribute(this.summary, "aria-live", "polite");
    action();
  }

  /** Show the last seconds, and follow the present. */
  showLast(seconds) {
    const now = nowSeconds();
    this.isFixed = false;
    this.show(now - seconds, now);
  }

  /** Move by a share of the shown time. */
  move(share) {
    const by = share * (this.until - this.since);
    this.isFixed = true;
    this.show(this.since + by, this.until + by);
  }

  /** Show a time that is longer or shorter by this factor: up to now, or around the middle. */
  zoom(factor) {
    if (!this.isFixed) {
      this.showLast(factor * (this.until - this.since));
      return;
    }
    const half = Math.max(SHORTEST_S / 2, (factor * (this.until - this.since)) / 2);
    const middle = (this.since + this.until) / 2;
    this.show(middle - half, middle + half);
  }

  /** Show a time that the viewer has chosen: it does not follow the present. */
  showFixed(since, until) {
    this.isFixed = true;
    this.show(since, until);
  }

  show(since, until) {
    const length = Math.min(Math.max(until - since, SHORTEST_S), 2 * RANGES_S.year);
    const now = nowSeconds();
    const end = Math.min((since + until + length) / 2, Math.max(now, since + length / 2));
    this.since = end - length;
    this.until = end;
    this.refresh();
  }

  /** Show newer values, unless the viewer looks at another time. */
  follow() {
    if (this.isFixed || document.hidden) return;
    setAttribute(this.summary, "aria-live", "off"); // or it would speak each minute
    this.showLast(this.until - this.since);
  }

  async refresh() {
    const request = ++this.request;
    const points = Math.max(200, Math.round(this.plotArea.clientWidth * 1.2));
    for (const { element, seconds } of this.rangeButtons) {
      const isShown = !this.isFixed && Math.abs(this.until - this.since - seconds) < 2;
      element.setAttribute("aria-pressed", String(isShown));
    }
    this.plot.setScale("x", { min: this.since, max: this.until });
    try {
      const data = await this.load(this.since, this.until, points);
      if (request !== this.request) return;
      if (this.isFirst && isFresh(data.rows, this.until)) {
        this.isFirst = false;
        this.showLast(RANGES_S.hour);
        return;
      }
      this.isFirst = false;
      this.data = data;
      this.plot.setData(columns(data.rows), false);
      this.plot.setScale("x", { min: this.since, max: this.until });
      this.showSummary();
    } catch (error) {
      if (request === this.request) setText(this.summary, error.message);
    }
  }

  showSummary() {
    const { rows, alerts, warningRatio } = this.data;
    setText(this.summary, summaryText(this.since, this.until, rows, alerts));
    this.legend.querySelector(".warning").hidden = !warningRatio;
  }

  draw() {
    this.plot?.destroy();
    const options = {
      width: this.plotArea.clientWidth || 300,
      height: this.height(),
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { show: false } },
      scales: { x: { time: true, range: (_u, low, high) => [low, high] }, y: { range: [0, 1] } },
      axes: [timeAxis(), ratioAxis()],
      series: [
        {},
        { stroke: "transparent", points: { show: false } },
        { stroke: "transparent", points: { show: false } },
        { stroke: themeColour("--line"), width: 1.5, points: { show: true, size: 4, fill: themeColour("--line"), filter: alone } },
      ],
      bands: [{ series: [1, 2], fill: themeColour("--line-range") }],
      hooks: {
        drawClear: [(plot) => paintOperation(plot, this.data.rows)],
        draw: [(plot) => paintThresholds(plot, this.data.warningRatio)],
        setSelect: [(plot) => this.select(plot)],
        setCursor: [(plot) => this.read(plot)],
        ready: [(plot) => alertMarks(plot, () => this.data.alerts, this.alertId), (plot) => touchGestures(plot, (from, to) => this.showFixed(from, to))],
      },
    };
    this.plot = new window.uPlot(options, columns(this.data.rows), this.plotArea);
    this.plot.setScale("x", { min: this.since, max: this.until });
  }

  resize() {
    const width = this.plotArea.clientWidth;
    if (width && width !== this.plot.width) this.plot.setSize({ width, height: this.height() });
  }

  height() {
    return this.plotArea.clientWidth < 500 ? 190 : 240;
  }

  select(plot) {
    const { left, width } = plot.select;
    if (width < 5) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.showFixed(from, to);
  }

  read(plot) {
    const row = plot.cursor.idx === null || plot.cursor.idx === undefined ? null : this.points()[plot.cursor.idx];
    if (!row) {
      setText(this.readout, t("chart.hint"));
      return;
    }
    const values = { at: moment(row.start_s), operation: row.operation ? word("operation", row.operation) : "" };
    const text =
      row.ratio_max === null
        ? t("chart.not_scored", values)
        : t("chart.readout", { ...values, low: ratioText(row.ratio_min), high: ratioText(row.ratio_max) });
    setText(this.readout, text.replace(/[,\s]+$/, ""));
  }

  points() {
    return withGaps(this.data.rows);
  }
}

/** Whether there are values, and all of them are of the last hour: six hours would be empty. */
function isFresh(rows, until) {
  return rows.length > 0 && rows.every((row) => row.start_s >= until - HOUR_S - row.step_s);
}

function legend() {
  const entries = ["mean", "threshold", "warning", "running", "off", "scale"];
  const item = (name) => h("li", { class: name, hidden: name === "warning" }, t(`chart.legend_${name}`));
  return h("ul", { class: "legend", "aria-label": t("chart.legend") }, ...entries.map(item));
}
