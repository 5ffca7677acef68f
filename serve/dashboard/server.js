// Server: the control API, asked as any client would; and its clock.

const KEY = "counterweight-token";
const TIMEOUT_MS = 10_000;
// The header `date` has whole seconds, so less than this is no difference.
const SAME_CLOCK_MS = 2000;

let ahead_ms = 0;

/** The server answered, and it was not what was hoped for. `current` comes with a stale number. */
export class Refused extends Error {
  constructor(status, message, current) {
    super(message);
    this.status = status;
    this.current = current;
  }
}

/** The server did not answer. */
class Silent extends Error {}

/** The token of this tab; empty: none. It is gone when the tab is closed. */
export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Use another token from now on; an empty one is forgotten. */
export function useToken(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** The time by the server's clock, in seconds since 1970: this one may be wrong. */
export function now_s() {
  return (Date.now() + ahead_ms) / 1000;
}

/** What the server says at `path`, with `body` a POST, or else `method`. Throws Refused and Silent. */
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
    throw new Silent(error.name === "TimeoutError" ? "it took too long" : "there is no connection");
  }
  const content = parse(text);
  if (answer.ok && content !== undefined) return content;
  const message =
    content?.error ?? `${options.method} ${path}: status ${answer.status} without a word of ours`;
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

/** A path below /control from its parts, whatever characters they hold. */
export function control(...parts) {
  return ["control", ...parts.map(encodeURIComponent)].join("/");
}
