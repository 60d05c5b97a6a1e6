/** The rows of a history as the columns that uPlot draws. */

import { position } from "./ratio.js";

const EMPTY = { ratio_min: null, ratio_mean: null, ratio_max: null, operation: null };

/** Times, highest, lowest and mean ratios, as places on the scale. */
export function columns(rows) {
  const points = withGaps(rows);
  const of = (name) => points.map((row) => (row[name] === null ? null : position(row[name])));
  return [points.map((row) => row.start_s), of("ratio_max"), of("ratio_min"), of("ratio_mean")];
}

/** The rows, and an empty one in each gap, so that no line is drawn across it. */
export function withGaps(rows) {
  const points = [];
  for (const row of rows) {
    const last = points[points.length - 1];
    if (last && row.start_s > last.start_s + 1.5 * last.step_s) {
      points.push({ ...EMPTY, start_s: last.start_s + last.step_s, step_s: last.step_s });
    }
    points.push(row);
  }
  return points;
}

/** The indices of values without a neighbour: no line leads to them, so they need a point. */
export function alone(plot, series) {
  const values = plot.data[series];
  const isMissing = (value) => value === null || value === undefined;
  return [...values.keys()].filter((at) => !isMissing(values[at]) && isMissing(values[at - 1]) && isMissing(values[at + 1]));
}
