/** Requests to the server of this page. Addresses are relative to where this file was loaded from. */

import { noteTime } from "./clock.js";
import { t } from "./texts.js";

const base = new URL("..", import.meta.url);

/** The address of a path of the page, such as "alert/0194…", below whatever prefix a proxy adds. */
export function address(path) {
  return new URL(path, base).href;
}

/** A part of a path: a machine's id may contain any character. */
export function part(text) {
  return encodeURIComponent(text);
}

/** A request that failed, with a message for people. */
class RequestError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The JSON document at this path. Throws RequestError. */
export async function getJson(path) {
  return answer(await send(path, { headers: { Accept: "application/json" } }));
}

/** The bytes at this path. Throws RequestError. */
export async function getBytes(path) {
  const response = await send(path, {});
  if (!response.ok) await answer(response);
  return response.arrayBuffer();
}

/** Ask for a change. Throws RequestError with the reason if it is refused. */
export async function post(path, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", "X-Auscult": "1" };
  return answer(await send(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

/** Go to the page for the password, and come back afterwards. */
function logIn() {
  const back = location.href.slice(base.href.length) + location.hash;
  location.assign(address(`login?ended=1&next=${part(back)}`));
}

async function send(path, options) {
  try {
    return await fetch(address(path), { credentials: "same-origin", ...options });
  } catch {
    throw new RequestError(t("error.no_connection"), 0);
  }
}

async function answer(response) {
  noteTime(response.headers.get("X-Auscult-Now"));
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const document = isJson ? await response.json() : null;
  if (response.ok && document !== null) return document;
  if (response.status === 401) logIn();
  const reason = document?.error?.message ?? document?.error ?? document?.message;
  throw new RequestError(reason || t("error.status", { status: response.status }), response.status);
}
