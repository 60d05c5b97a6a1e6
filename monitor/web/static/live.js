/** Live data: server-sent events that continue after a lost connection and stop in a hidden page. */

import { address, getJson } from "./api.js";

const FIRST_PAUSE_S = 1;
const LONGEST_PAUSE_S = 30;
const SILENT_AFTER_S = 40;
const HIDDEN_AFTER_S = 20;

/**
 * Receive the events of a stream until the page is left.
 *
 * handlers: name of the event to a function of its JSON document. onStatus gets true when events
 * arrive and false when the connection is lost.
 */
export function follow(path, handlers, onStatus = () => {}) {
  let source = null;
  let pauseS = FIRST_PAUSE_S;
  let retry = 0;
  let silence = 0;
  let hidden = 0;

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(stop, HIDDEN_AFTER_S * 1000);
    else if (source === null) start();
  });
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => event.persisted && source === null && start());
  start();

  function start() {
    clearTimeout(retry);
    source?.close();
    source = new EventSource(address(path));
    source.onopen = alive;
    source.onerror = lost;
    source.addEventListener("heartbeat", alive);
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        alive();
        handle(JSON.parse(event.data));
      });
    }
    watch();
  }

  function stop() {
    clearTimeout(retry);
    clearTimeout(silence);
    source?.close();
    source = null;
  }

  function alive() {
    pauseS = FIRST_PAUSE_S;
    onStatus(true);
    watch();
  }

  function watch() {
    clearTimeout(silence);
    silence = setTimeout(lost, SILENT_AFTER_S * 1000);
  }

  function lost() {
    onStatus(false);
    stop();
    retry = setTimeout(again, pauseS * 1000);
    pauseS = Math.min(LONGEST_PAUSE_S, 2 * pauseS);
  }

  async function again() {
    // A stream gives no reason for a refusal. This request does: it leads to the log-in.
    await getJson("api/session").catch(() => {});
    if (!document.hidden) start();
  }
}
