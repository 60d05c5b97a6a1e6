/** The list of alerts. */

import { getJson } from "../api.js";
import { renew, setText } from "../dom.js";
import { alertRow } from "../events.js";
import { pageData, showConnection, showNode } from "../page.js";
import { t } from "../texts.js";

const REFRESH_S = 30;
const list = document.getElementById("alerts");
const only = document.getElementById("only-unlabelled");
const first = pageData();
let alerts = first.alerts;

only.addEventListener("change", render);
render();
showNode(first);
showConnection(true);
setInterval(refresh, REFRESH_S * 1000);

async function refresh() {
  if (document.hidden) return;
  try {
    const next = await getJson("api/alerts");
    alerts = next.alerts;
    render();
    showNode(next);
    showConnection(true);
  } catch (error) {
    showConnection(false);
    setText(document.getElementById("nothing"), error.message);
  }
}

function render() {
  const shown = only.checked ? alerts.filter((alert) => !alert.label) : alerts;
  renew(list, ...shown.map((alert) => alertRow(alert)));
  document.getElementById("alert-head").hidden = shown.length === 0;
  const reason = alerts.length ? t("alerts.all_labelled") : t("alerts.none");
  setText(document.getElementById("nothing"), shown.length ? "" : reason);
}
