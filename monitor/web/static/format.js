/** Numbers, lengths of time and times of day, in the language of the page and the viewer's zone. */

import { nowSeconds } from "./clock.js";
import { language, t } from "./texts.js";

const DAY_S = 86_400;
const UNKNOWN = "–";
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockWithSeconds = new Intl.DateTimeFormat(language, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", year: "numeric" });

/** A number with this many significant digits, at most 6 places. */
export function number(value, digits = 2) {
  return new Intl.NumberFormat(language, { maximumSignificantDigits: digits }).format(value);
}

/** A number with a fixed count of places, for columns. */
export function fixed(value, places = 1) {
  const options = { minimumFractionDigits: places, maximumFractionDigits: places };
  return new Intl.NumberFormat(language, options).format(value);
}

/** A ratio as people read it: "2.4 ×". Above 100 the digits have no meaning. */
export function ratioText(ratio) {
  if (ratio === null || ratio === undefined) return UNKNOWN;
  return t("common.ratio", { value: ratio < 9.95 ? fixed(ratio, ratio < 0.995 ? 2 : 1) : number(ratio, 2) });
}

/**
 * A length of time, rounded, in the largest unit of which there are at least two: "90 s", "25 min",
 * "30 h", "3 days". Messages and commands use the same rule (duration in monitor/text/wording.py).
 */
export function length(seconds) {
  const [s, minutes, hours, days] = [1, 60, 3600, DAY_S].map((unit) => Math.round(Math.max(0, seconds) / unit));
  if (s < 120) return t("length.seconds", { count: s });
  if (minutes < 120) return t("length.minutes", { count: minutes });
  return hours < 48 ? t("length.hours", { count: hours }) : t("length.days", { count: days });
}

/**
 * The time of day, with the date if it is not today. Argument: seconds since 1970, or RFC 3339.
 * A text of another node that is no time has no meaning, and is not shown.
 */
export function moment(at, { seconds = false } = {}) {
  const date = asDate(at);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const text = (seconds ? clockWithSeconds : clock).format(date) + offsetIfRepeated(date);
  const now = asDate(nowSeconds());
  if (date.toDateString() === now.toDateString()) return text;
  const isThisYear = date.getFullYear() === now.getFullYear();
  return `${(isThisYear ? day : dayOfYear).format(date)}, ${text}`;
}

/** From one time to another, in seconds since 1970. The date is left out only if both are today. */
export function period(since, until) {
  const [from, to] = [asDate(since), asDate(until)];
  const isOneDay = from.toDateString() === to.toDateString();
  const time = (at) => clock.format(at) + offsetIfRepeated(at);
  if (isOneDay) return t("unit.range", { low: moment(since), high: time(to) });
  const now = asDate(nowSeconds()).getFullYear();
  const date = from.getFullYear() === now && to.getFullYear() === now ? day : dayOfYear;
  const dated = (at) => `${date.format(at)}, ${time(at)}`;
  return t("unit.range", { low: dated(from), high: dated(to) });
}

/** Seconds since 1970 of a time in RFC 3339. */
export function unixSeconds(at) {
  return asDate(at).getTime() / 1000;
}

/** How long ago a time was; never negative, because the clocks of two computers differ. */
export function ago(at) {
  const seconds = nowSeconds() - unixSeconds(at);
  return Number.isNaN(seconds) ? UNKNOWN : length(seconds);
}

/** The viewer's zone: "Europe/Berlin, UTC+2". */
export function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const offset = offsetOf(asDate(nowSeconds()));
  return !name || name === "UTC" ? offset : `${name.replaceAll("_", " ")}, ${offset}`;
}

/** The offset of the viewer's zone at a time: "UTC+2". */
function offsetOf(date) {
  const minutes = -date.getTimezoneOffset();
  const sign = minutes < 0 ? "−" : "+";
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `UTC${sign}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

/** " UTC+2" where clocks show the same time twice, when summer time ends; otherwise an alert could end before it begins. */
function offsetIfRepeated(date) {
  const isSame = (minutes) => clock.format(new Date(date.getTime() + minutes * 60_000)) === clock.format(date);
  return [-60, -30, 30, 60].some(isSame) ? ` ${offsetOf(date)}` : "";
}

/** A frequency: "640 Hz", "1.8 kHz". */
export function frequency(hz) {
  return hz < 995 ? t("unit.hz", { value: number(hz, 2) }) : t("unit.khz", { value: number(hz / 1000, 2) });
}

/** Ranges of frequency: "1.8 to 2.1 kHz, 4 kHz". */
export function bands(ranges) {
  return ranges
    .map(([low, high]) =>
      low >= 995
        ? t("unit.khz_range", { low: number(low / 1000, 2), high: number(high / 1000, 2) })
        : t("unit.range", { low: frequency(low), high: frequency(high) }),
    )
    .join(", ");
}

/** Bytes in the largest unit. */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  return `${number(count / 1000 ** power, 3)} ${units[power]}`;
}

function asDate(at) {
  return typeof at === "number" ? new Date(at * 1000) : new Date(at);
}
