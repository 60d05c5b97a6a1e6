/** What is marked in the chart of a machine: thresholds, operation, alerts. */

import { address, part } from "./api.js";
import { nowSeconds } from "./clock.js";
import { h, renew } from "./dom.js";
import { moment, ratioText } from "./format.js";
import { themeColour } from "./palette.js";
import { position } from "./ratio.js";
import { t } from "./texts.js";

const STRIP_PX = 6;
const FLAG_PX = 20;

/** Lines at the alarm threshold and, if there is one, the warning threshold. */
export function paintThresholds(plot, warningRatio) {
  line(plot, 1, themeColour("--alarm"), []);
  if (warningRatio) line(plot, warningRatio, themeColour("--warning"), [4, 4]);
}

/** A strip at the bottom that shows when the machine did not run, and grey where nothing is known. */
export function paintOperation(plot, rows) {
  const { ctx, bbox } = plot;
  const ratio = window.devicePixelRatio;
  const colours = { running: themeColour("--running"), transition: themeColour("--grid"), off: themeColour("--off") };
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const [from, to, operation] of stretches(rows)) {
    const colour = colours[operation];
    if (!colour) continue;
    const left = plot.valToPos(from, "x", true);
    const width = Math.max(1, plot.valToPos(to, "x", true) - left);
    ctx.fillStyle = colour;
    ctx.fillRect(left, bbox.top + bbox.height - STRIP_PX * ratio, width, STRIP_PX * ratio);
    if (operation !== "off") continue;
    ctx.globalAlpha = 0.12;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.globalAlpha = 1;
  }
  ctx.restore();
}

/** A link above the chart for each alert, and a tinted area while it was open. */
export function alertMarks(plot, alertsOf, highlighted) {
  const layer = h("div", { class: "alert-marks" });
  plot.over.append(layer);
  place();
  plot.hooks.draw.push(place);

  function place() {
    const width = plot.over.clientWidth;
    renew(layer, ...alertsOf().flatMap((alert) => marks(alert, width)));
  }

  function marks(alert, width) {
    const from = plot.valToPos(alert.raised_s, "x");
    const to = plot.valToPos(alert.cleared_s ?? nowSeconds(), "x");
    if (to < 0 || from > width) return [];
    const left = Math.max(0, from);
    const area = h("div", { class: "alert-area" });
    area.style.left = `${left}px`;
    area.style.width = `${Math.max(2, Math.min(width, to) - left)}px`;
    const name = t("chart.alert", { at: moment(alert.raised_s), ratio: ratioText(alert.peak_ratio) });
    const isThis = alert.alert_id === highlighted;
    const link = h(
      "a",
      {
        class: "alert-flag",
        href: address(`alert/${part(alert.alert_id)}`),
        title: name,
        "aria-label": name,
        "aria-current": isThis ? "true" : null,
      },
      "!",
    );
    // At the right edge, the flag is on the other side of its line.
    const isFlipped = left > width - FLAG_PX;
    link.classList.toggle("flipped", isFlipped);
    link.style.left = `${isFlipped ? left - FLAG_PX : left}px`;
    return [area, link];
  }
}

/** Successive rows with the same operation: [from, to, operation]. */
function stretches(rows) {
  const found = [];
  for (const row of rows) {
    const last = found[found.length - 1];
    const end = row.start_s + row.step_s;
    if (last && last[2] === row.operation && row.start_s - last[1] < row.step_s) last[1] = end;
    else found.push([row.start_s, end, row.operation]);
  }
  return found;
}

function line(plot, ratio, colour, dash) {
  const { ctx, bbox } = plot;
  const y = plot.valToPos(position(ratio), "y", true);
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = window.devicePixelRatio;
  ctx.setLineDash(dash.map((length) => length * window.devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}
