/** What the page asks of the service, route by route. Everything here throws `Problem` and `Unreachable`. */

import { Problem, ask, askJson } from "./exchange.js";

/**
 * @typedef {{order_uid: string, track_number: string, customer_id: string, date_created: string,
 *   received_at: string}} OrderLine
 * @typedef {{uid: string, text: string, source: string|null, milliseconds: number}} OrderAnswer
 * @typedef {{order_uid: string, received_at: string, source: string, topic: string, partition: number|null,
 *   position: number|null}} Origin
 * @typedef {{id: number, kind: string, reason: string, order_uid: string|null, source: string, topic: string,
 *   partition: number, position: number, size: number|null, received_at: string, replayed: string|null,
 *   discarded_at: string|null}} RejectLine
 * @typedef {{text?: string, base64?: string}} Content
 * @typedef {RejectLine & {incarnation: string, key: Content|null,
 *   headers: {name: Content, value: Content|null}[], sha256: string, text: string|null, base64: string|null,
 *   stored_text: string|null, differences: {path: string, stored: string|null, rejected: string|null}[]}} Reject
 * @typedef {{reject_id: number, outcome: string, detail: string}} Replay
 */

/** @template T @typedef {{lines: T[], next: string|null}} Page  `next` is the address of the page behind it */

/**
 * An order as it was sent. `source` is where it was found; `milliseconds` runs from the request to the last byte.
 * @param {string} uid
 * @param {AbortSignal} signal
 * @returns {Promise<OrderAnswer>}
 */
export async function fetchOrder(uid, signal) {
  const began = performance.now();
  const { response, text } = await ask(orderPath(uid), { signal });
  const milliseconds = performance.now() - began;
  return { uid, text, source: sourceOf(response.headers.get("x-orderkeep-cache")), milliseconds };
}

/**
 * When an order was received, and from where.
 * @param {string} uid
 * @param {AbortSignal} signal
 * @returns {Promise<Origin>}
 */
export async function fetchOrigin(uid, signal) {
  return (await askJson(`${orderPath(uid)}/origin`, { signal })).value;
}

/**
 * A page of orders: those that agree with the parameters of `GET /orders`, or the page at the address of `next`.
 * @param {Record<string, string|number|null>|string} wanted
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page<OrderLine>>}
 */
export function fetchOrders(wanted, signal) {
  return fetchPage("/orders", "orders", wanted, signal);
}

/**
 * A page of rejects: those that agree with the parameters of `GET /rejects`, or the page at the address of `next`.
 * @param {Record<string, string|number|null>|string} wanted
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page<RejectLine>>}
 */
export function fetchRejects(wanted, signal) {
  return fetchPage("/rejects", "rejects", wanted, signal);
}

/** @param {string} id @param {AbortSignal} signal @returns {Promise<Reject>} */
export async function fetchReject(id, signal) {
  return (await askJson(`/rejects/${encodeURIComponent(id)}`, { signal })).value;
}

/** Puts a reject through the pipeline again: what became of it. @param {number} id @returns {Promise<Replay>} */
export async function replay(id) {
  return (await askJson(`/rejects/${id}/replay`, { method: "POST", patience: 30_000 })).value;
}

/** The state of the service, and the time that its clock is ahead of ours, in milliseconds. @param {AbortSignal} [signal] */
export async function fetchState(signal) {
  const began = Date.now();
  const { value } = await askJson("/state", { signal });
  const ended = Date.now();
  // The server looked at its clock last of all; half of the way there, or all of the way back, is the error.
  return { state: value, ahead: Date.parse(value.now) - ended, uncertainty: ended - began };
}

/** Whether the API does all that it should, for whoever may not see the state. @returns {Promise<boolean>} */
export async function fetchIsReady() {
  return (await askJson("/health/ready")).value.status === "ok";
}

/**
 * @param {string} path @param {string} name @param {Record<string, string|number|null>|string} wanted
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page<any>>}
 */
async function fetchPage(path, name, wanted, signal) {
  const { response, value } = await askJson(typeof wanted === "string" ? wanted : `${path}?${queryOf(wanted)}`, { signal });
  const lines = value?.[name];
  if (!Array.isArray(lines)) throw new Problem(response.status, "Not a list", "");
  return { lines, next: nextOf(response.headers.get("link"), path) };
}

/** @param {Record<string, string|number|null>} wanted */
function queryOf(wanted) {
  const given = Object.entries(wanted).filter(([, value]) => value !== null && value !== "");
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

// Only an address of the same list is followed, whatever the header says (RFC 8288).
/** @param {string|null} link @param {string} path */
function nextOf(link, path) {
  const target = /^<([^>]+)>; rel="next"$/.exec(link ?? "")?.[1];
  return target?.startsWith(`${path}?`) ? target : null;
}

/** @param {string} uid */
function orderPath(uid) {
  return `/orders/${encodeURIComponent(uid)}`;
}

/** @param {string|null} header */
function sourceOf(header) {
  return { hit: "memory", redis: "redis", miss: "database" }[header ?? ""] ?? null;
}
