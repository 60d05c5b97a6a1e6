/** Loads the history of a machine for the chart. */

import { getJson, part } from "./api.js";

/** The function load of HistoryChart. warningRatio: gives the ratio of the warning threshold. */
export function historyOf(machineId, warningRatio = () => null) {
  return async (since, until, points) => {
    const query = new URLSearchParams({ since: since.toFixed(0), until: until.toFixed(0), points });
    const document = await getJson(`api/machine/${part(machineId)}/history?${query}`);
    return {
      rows: document.minutes.map((row) => ({ ...row, start_s: row.minute * 60, step_s: row.minutes * 60 })),
      alerts: document.alerts.map((alert) => ({ ...alert, raised_s: alert.raised_unix_s, cleared_s: alert.cleared_unix_s })),
      warningRatio: warningRatio(),
    };
  };
}
