/** One sentence about what the chart of a machine shows. */

import { moment, period, ratioText } from "./format.js";
import { t } from "./texts.js";

const MINUTE_S = 60;
const ROUNDING = 0.01; // the same score is written with other digits in a minute and in an alert

/** The highest score of the shown time, when it was, and the number of alerts. */
export function summaryText(since, until, rows, alerts) {
  const values = { period: period(since, until) };
  const highest = highestOf(since, until, rows, alerts);
  if (highest === null) return t("chart.nothing", values);
  const { ratio, from, to } = highest;
  const when = to - from > MINUTE_S ? t("chart.within", { period: period(Math.max(from, since), Math.min(to, until)) }) : t("chart.at", { at: moment(from) });
  return t("chart.summary", { ...values, highest: ratioText(ratio), when, alerts: t("common.alerts", { count: alerts.length }) });
}

/**
 * An alert is known at once, and the values of its minute later: until then, the peak of an alert
 * that was raised in the shown time is the highest score.
 */
function highestOf(since, until, rows, alerts) {
  const ofRows = rows.map((row) => ({ ratio: row.ratio_max, from: row.start_s, to: row.start_s + row.step_s }));
  const ofAlerts = alerts
    .filter((alert) => alert.raised_s >= since && alert.raised_s < until)
    .map((alert) => ({ ratio: alert.peak_ratio, from: alert.raised_s, to: alert.cleared_s ?? alert.raised_s }));
  const [row, alert] = [best(ofRows), best(ofAlerts)];
  return alert && alert.ratio > (row?.ratio ?? 0) * (1 + ROUNDING) ? alert : row;
}

/** The one with the highest ratio; null if none has one. */
function best(values) {
  const known = values.filter(({ ratio }) => ratio !== null && ratio !== undefined);
  return known.length ? known.reduce((highest, one) => (one.ratio > highest.ratio ? one : highest)) : null;
}
