/** Fingers on the chart: one moves the shown time, two zoom. */

const LEAST_PX = 6;

/** plot: of uPlot. show(since, until) is called when the last finger has left the chart. */
export function touchGestures(plot, show) {
  const fingers = new Map();
  let start = null;

  plot.over.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, event.clientX);
    begin();
  });
  plot.over.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, event.clientX);
    const shown = moved();
    if (shown) plot.setScale("x", shown);
  });
  plot.over.addEventListener("pointerup", leave);
  plot.over.addEventListener("pointercancel", leave);

  function leave(event) {
    if (!fingers.delete(event.pointerId)) return;
    const { min, max } = plot.scales.x;
    const isChanged = start.hasMoved;
    if (fingers.size > 0) begin(isChanged);
    else if (isChanged) show(min, max);
  }

  function begin(hasMoved = start?.hasMoved && fingers.size > 1) {
    const { min, max } = plot.scales.x;
    start = { min, max, places: places(), hasMoved: Boolean(hasMoved) };
  }

  /** The scale at which the times that were touched are below the fingers again. */
  function moved() {
    const now = places();
    const width = plot.over.clientWidth;
    if (!start.hasMoved && now.every((place, index) => Math.abs(place - start.places[index]) * width < LEAST_PX)) return null;
    start.hasMoved = true;
    const length = start.max - start.min;
    if (now.length === 1) {
      const by = (now[0] - start.places[0]) * length;
      return { min: start.min - by, max: start.max - by };
    }
    const [left, right] = [now[0], Math.max(now[1], now[0] + 0.02)];
    const [from, to] = start.places.map((place) => start.min + place * length);
    const next = (Math.max(1, to - from)) / (right - left);
    return { min: from - left * next, max: from + (1 - left) * next };
  }

  /** The first two fingers as shares of the width, the left one first. */
  function places() {
    const { left, width } = plot.over.getBoundingClientRect();
    return [...fingers.values()].slice(0, 2).map((x) => (x - left) / width).sort((one, other) => one - other);
  }
}
