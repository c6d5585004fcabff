/** The one place that talks to the service. What goes wrong is one of two errors. */

const PATIENCE_MS = 10_000;

/** Nothing answered, or not in time, or the answer broke off. Passes by itself. */
export class Unreachable extends Error {}

/** The service answered that it cannot (RFC 9457, application/problem+json). */
export class Problem extends Error {
  constructor({ status, title, detail }) {
    super(title);
    Object.assign(this, { status, title, detail });
  }

  /** Worth asking again without the reader's doing: busy, starting, or without its database. */
  get passes() {
    return [429, 502, 503, 504].includes(this.status);
  }
}

/**
 * @returns {Promise<{uid: string, text: string, source: "memory"|"redis"|"database"|null, milliseconds: number}>}
 *   `text` is the body as it came; `milliseconds` runs from the request to the last byte.
 * @throws {Problem|Unreachable}
 */
export async function fetchOrder(uid, signal) {
  const began = performance.now();
  const { response, text } = await ask(`/orders/${encodeURIComponent(uid)}`, signal);
  const milliseconds = performance.now() - began;
  const via = response.headers.get("x-orderkeep-cache");
  const source = { hit: "memory", redis: "redis", miss: "database" }[via] ?? null;
  return { uid, text, source, milliseconds };
}

/** The newest orders, newest first. @throws {Problem|Unreachable} */
export async function fetchNewest(limit, signal) {
  const { response, text } = await ask(`/orders?limit=${limit}`, signal);
  const orders = parseOr(text, null)?.orders;
  if (!Array.isArray(orders)) {
    throw new Problem({ status: response.status, title: "This is not a list of orders", detail: "" });
  }
  return orders;
}

async function ask(path, signal) {
  const { response, text } = await exchange(path, signal);
  if (!response.ok) throw problemOf(response, text);
  return { response, text };
}

async function exchange(path, signal) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  try {
    // no-store: the browser's own cache would make the source and the time untrue.
    const response = await fetch(path, {
      cache: "no-store", redirect: "error", signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    return { response, text: await response.text() };
  } catch (cause) {
    throw new Unreachable("The service does not answer", { cause });
  }
}

function problemOf(response, text) {
  const told = parseOr(text, null) ?? {};
  return new Problem({
    status: response.status,
    title: textOr(told.title, response.statusText || "The service refused"),
    detail: textOr(told.detail, ""),
  });
}

function parseOr(text, otherwise) {
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}

function textOr(value, otherwise) {
  return typeof value === "string" && value !== "" ? value : otherwise;
}
