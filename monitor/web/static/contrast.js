/**
 * The contrast of the live pictures.
 *
 * The daemon sends a fixed range of levels that is wide enough for every sound. A machine uses a
 * part of it. The colours follow the levels of the last minute, in steps, so that they rarely change.
 */

const LOW_SHARE = 0.01;
const HIGH_SHARE = 0.995;
const LEAST_RANGE = 40;
const STEP = 10;

/** The range of values [low, high] that most bytes of the columns have, in steps. */
export function rangeOf(columns) {
  const counts = new Uint32Array(256);
  let total = 0;
  for (const column of columns) {
    if (column === null) continue;
    for (const value of column) counts[value] += 1;
    total += column.length;
  }
  if (total === 0) return [0, 255];
  const low = Math.floor(quantile(counts, total * LOW_SHARE) / STEP) * STEP;
  const high = Math.ceil(quantile(counts, total * HIGH_SHARE) / STEP) * STEP;
  return [low, Math.max(high, low + LEAST_RANGE)];
}

/** The colours of a table stretched so that low has the first colour and high the last one. */
export function stretched(colours, low, high) {
  return colours.map((_, value) => {
    const place = Math.round((255 * (value - low)) / (high - low));
    return colours[Math.min(255, Math.max(0, place))];
  });
}

function quantile(counts, wanted) {
  let sum = 0;
  for (let value = 0; value < 256; value += 1) {
    sum += counts[value];
    if (sum >= wanted) return value;
  }
  return 255;
}
