/** The time by the clock of the node, from which all times of the page are. That of the viewer may be wrong. */

const NOTICEABLE_MS = 2000; // an answer takes time to arrive
let errorMs = 0;

/** Note when an answer was made that has just arrived, in RFC 3339. What is no time is ignored. */
export function noteTime(at) {
  const foundMs = Date.parse(at) - Date.now();
  if (Math.abs(foundMs - errorMs) > NOTICEABLE_MS) errorMs = foundMs;
}

/** Seconds since 1970. */
export function nowSeconds() {
  return (Date.now() + errorMs) / 1000;
}
