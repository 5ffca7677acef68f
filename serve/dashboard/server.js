// A client of the control API, and the server's clock.

const KEY = "counterweight-token";
const TIMEOUT_MS = 10_000;
// The header `date` has whole seconds, so smaller differences are ignored.
const SAME_CLOCK_MS = 2000;

let ahead_ms = 0;

/** The server answered with an error. `current` is set if the sent number was stale. */
export class Refused extends Error {
  constructor(status, message, current) {
    super(message);
    this.status = status;
    this.current = current;
  }
}

/** The server did not answer. */
class Silent extends Error {}

/** The token of this tab; empty if there is none. It is lost when the tab is closed. */
export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Set the token; an empty one removes it. */
export function useToken(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** The time of the server's clock in seconds since 1970, because the local clock may be wrong. */
export function now_s() {
  return (Date.now() + ahead_ms) / 1000;
}

/** Request `path`: with `body` a POST, else `method`. Throws Refused and Silent. */
export async function ask(path, { body, method, timeout_ms = TIMEOUT_MS } = {}) {
  const headers = { accept: "application/json" };
  if (token()) headers.authorization = `Bearer ${token()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(timeout_ms),
  };
  let answer, text;
  try {
    answer = await fetch(path, options);
    text = await answer.text();
    setClock(answer.headers.get("date"));
  } catch (error) {
    throw new Silent(error.name === "TimeoutError" ? "the request timed out" : "there is no connection");
  }
  const content = parse(text);
  if (answer.ok && content !== undefined) return content;
  const message =
    content?.error ?? `${options.method} ${path}: status ${answer.status} without a message`;
  throw new Refused(answer.status, message, content?.current);
}

function setClock(date) {
  const difference_ms = date ? Date.parse(date) - Date.now() : 0;
  ahead_ms = Math.abs(difference_ms) < SAME_CLOCK_MS ? 0 : difference_ms;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A path below /control from its parts, with escapes. */
export function control(...parts) {
  return ["control", ...parts.map(encodeURIComponent)].join("/");
}
