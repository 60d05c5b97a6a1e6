/** What every page does: the data that came with it, the clock, the connection, log-out. */

import { address, post } from "./api.js";
import { noteTime } from "./clock.js";
import { fill, h, setText } from "./dom.js";
import { zone } from "./format.js";
import { t } from "./texts.js";

/** The JSON document with which the server has made the page. */
export function pageData() {
  return JSON.parse(document.getElementById("data")?.textContent ?? "null");
}

/** Whether this viewer may change something. */
export const mayChange = document.body.dataset.role === "operator";

let connected = null;
let monitors = "running";

/** Show whether live data arrive. Without this call, nothing is shown. */
export function showConnection(isLive) {
  connected = isLive;
  showStatus();
}

function showStatus() {
  if (connected === null) return;
  const element = document.getElementById("connection");
  const isMonitored = monitors === "running";
  element.hidden = false;
  element.dataset.live = String(connected && isMonitored);
  const text = isMonitored ? t("common.live") : t(`common.monitoring_${monitors}`);
  setText(element, connected ? text : t("common.not_live"));
}

/**
 * Show what a document says about the whole node: lines of trouble above the page, and whether the
 * daemon runs.
 */
export function showNode({ banners, monitoring }) {
  monitors = monitoring;
  showStatus();
  showBanners(banners);
}

/** A text of the daemon has no key. Without monitoring, nothing else is as urgent. */
function showBanners(banners) {
  const lines = banners.map(({ text, key, values }) =>
    h("p", { class: key === "banner.stopped" ? "banner urgent" : "banner" }, key ? t(key, values) : text),
  );
  const area = document.getElementById("banners");
  const texts = (elements) => [...elements].map((one) => one.textContent).join("\n");
  if (texts(area.children) !== texts(lines)) fill(area, ...lines);
}

noteTime(document.body.dataset.now);
document.getElementById("zone").textContent = t("common.zone", { zone: zone() });
const logOut = document.getElementById("log-out");
if (logOut) {
  logOut.addEventListener("click", async () => {
    await post("logout", {}).catch(() => {});
    location.assign(address("login"));
  });
  logOut.hidden = false;
}
