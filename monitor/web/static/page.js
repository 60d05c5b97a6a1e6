/** What every page does: the data that came with it, the clock, the connection, log-out. */

import { address, post } from "./api.js";
import { fill, h, setText } from "./dom.js";
import { zone } from "./format.js";
import { t } from "./texts.js";

/** The JSON document with which the server has made the page. */
export function pageData() {
  return JSON.parse(document.getElementById("data")?.textContent ?? "null");
}

/** Whether this viewer may change something. */
export const mayChange = document.body.dataset.role === "operator";

/** Show whether live data arrive. Without this call, nothing is shown. */
export function showConnection(isLive) {
  const element = document.getElementById("connection");
  element.hidden = false;
  element.dataset.live = String(isLive);
  setText(element, isLive ? t("common.live") : t("common.not_live"));
}

/** Show lines of trouble above the page; the list is empty when there is none. */
export function showBanners(lines) {
  const area = document.getElementById("banners");
  const shown = [...area.children].map((one) => one.textContent);
  if (shown.join("\n") === lines.join("\n")) return;
  fill(area, ...lines.map((line) => h("p", { class: "banner" }, line)));
}

document.getElementById("zone").textContent = t("common.zone", { zone: zone() });
const logOut = document.getElementById("log-out");
if (logOut) {
  logOut.addEventListener("click", async () => {
    await post("logout", {}).catch(() => {});
    location.assign(address("login"));
  });
  logOut.hidden = false;
}
