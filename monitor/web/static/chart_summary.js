/** One sentence about what the chart of a machine shows. */

import { moment, period, ratioText } from "./format.js";
import { t } from "./texts.js";

const MINUTE_S = 60;

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
 * An alert is known at once, and the values of its minute later: the peaks of the alerts that were
 * raised in the shown time count too.
 */
function highestOf(since, until, rows, alerts) {
  const found = rows.map((row) => ({ ratio: row.ratio_max, from: row.start_s, to: row.start_s + row.step_s }));
  for (const { peak_ratio: ratio, raised_s: from, cleared_s: to } of alerts) {
    if (from >= since && from < until) found.push({ ratio: ratio ?? null, from, to: to ?? from });
  }
  const scored = found.filter(({ ratio }) => ratio !== null);
  return scored.length ? scored.reduce((best, one) => (one.ratio > best.ratio ? one : best)) : null;
}
