/** One request and its answer. What goes wrong is one of two errors. */

import { connection } from "./connection.js";
import { anotherKey, key } from "./key.js";

const PATIENCE_MS = 10_000;

/** Nothing answered, or not in time, or the answer broke off. Passes by itself. */
export class Unreachable extends Error {}

/** The service answered that it cannot (RFC 9457, application/problem+json). */
export class Problem extends Error {
  /** @param {number} status @param {string} title @param {string} detail */
  constructor(status, title, detail) {
    super(title);
    this.status = status;
    this.title = title;
    this.detail = detail;
  }

  /** Worth asking again without the reader's doing: busy, starting, or without its database. */
  get passes() {
    return [429, 502, 503, 504].includes(this.status);
  }
}

/**
 * The error as one of the two; any other is a mistake of the page, and is thrown on.
 * @param {unknown} error
 * @returns {Problem|Unreachable}
 */
export function failure(error) {
  if (error instanceof Problem || error instanceof Unreachable) return error;
  throw error;
}

/** Whether asking again may help without the reader's doing. @param {Problem|Unreachable} error */
export function mayPass(error) {
  return error instanceof Unreachable || error.passes;
}

/**
 * @typedef {{signal?: AbortSignal, method?: string, headers?: Record<string, string>, patience?: number}} Options
 *   `patience` in milliseconds, for the head of the answer
 */

/**
 * The response, its body not read yet. Where a key is wanted, the reader is asked for one.
 * @param {string} path
 * @param {Options} options
 * @throws {Problem|Unreachable} or the error of `signal` when that is what ended it
 */
export async function respond(path, { signal, method = "GET", headers = {}, patience = PATIENCE_MS } = {}) {
  const used = key();
  const response = await send(path, method, withKey(headers, used), signal, patience);
  if (response.ok) return response;
  if (response.status === 401 && (await anotherKey(used)) !== null) {
    return respond(path, { signal, method, headers, patience });
  }
  throw await problemOf(response);
}

/**
 * The whole answer as text.
 * @param {string} path
 * @param {Options} options
 * @throws {Problem|Unreachable}
 */
export async function ask(path, options = {}) {
  const response = await respond(path, options);
  try {
    return { response, text: await response.text() };
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw new Unreachable("The answer broke off", { cause });
  }
}

/**
 * The answer as JSON.
 * @param {string} path
 * @param {Options} options
 * @throws {Problem|Unreachable}
 */
export async function askJson(path, options = {}) {
  const { response, text } = await ask(path, options);
  const value = parseOr(text, undefined);
  if (value === undefined) throw new Problem(response.status, "Not JSON", text.slice(0, 200));
  return { response, value };
}

/**
 * @param {string} path @param {string} method @param {Record<string, string>} headers
 * @param {AbortSignal|undefined} signal @param {number} patience
 */
async function send(path, method, headers, signal, patience) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), patience);
  try {
    // no-store: the browser's own cache would make the source and the time untrue.
    const response = await fetch(path, {
      method, headers, cache: "no-store", redirect: "error", credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal,
    });
    connection.answered();
    return response;
  } catch (cause) {
    signal?.throwIfAborted();
    connection.missed();
    throw new Unreachable("The service does not answer", { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** @param {Record<string, string>} headers @param {string|null} used */
function withKey(headers, used) {
  return used === null ? headers : { ...headers, authorization: `Bearer ${used}` };
}

/** @param {Response} response */
async function problemOf(response) {
  const told = parseOr(await response.text().catch(() => ""), null) ?? {};
  return new Problem(response.status, textOr(told.title, response.statusText), textOr(told.detail, ""));
}

/** @param {string} text @param {any} otherwise */
function parseOr(text, otherwise) {
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/** @param {unknown} value @param {string} otherwise */
function textOr(value, otherwise) {
  return typeof value === "string" && value !== "" ? value : otherwise;
}
