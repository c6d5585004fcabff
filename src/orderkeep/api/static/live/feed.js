/**
 * What has happened, as far as the page remembers it: the latest orders and rejects, and figures by the second.
 * Two streams, since at thousands of orders a second the service thins what it sends, and no reject may be
 * thinned for an order. Counts are exact whatever is thinned.
 */

import { serverTime } from "../service/clock.js";
import { EventStream } from "../service/events.js";

const SECONDS = 120;
const MOST_ORDERS = 200;
const MOST_REJECTS = 100;
const ORDERS_A_SECOND = 40;
const REJECTS_A_SECOND = 10;
/** Keys that are remembered, so that what is told twice after a lost connection is counted once. */
const MOST_KEYS = 5000;
/** A tab that nobody looks at gives its connections back after this: a browser has six for each service. */
const HIDDEN_MS = 30_000;
const TELL_MS = 250;

/** @typedef {{stored: number, rejected: number, delays: number[], isGap: boolean}} Second */

class Feed extends EventTarget {
  /** @type {any[]} the latest first */
  orders = [];
  /** @type {any[]} the latest first */
  rejects = [];
  counts = { stored: 0, rejected: 0, thinned: 0 };
  /** Why it is refused, when it is. @type {Error|null} */
  error = null;
  /** @type {Record<string, import("../service/events.js").StreamState>} */
  #states = { stored: "connecting", rejected: "connecting" };
  /** When both streams were there, in milliseconds since 1970. @type {{from: number, to: number|null}[]} */
  #spans = [];
  /** @type {Map<number, Second>} by the second since 1970, here */
  #seconds = new Map();
  #keys = new Set();
  /** By our clock. */
  #openedAt = Infinity;
  #isTold = false;
  /** @type {AbortController|null} */
  #listening = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #hiding;

  #streams = [
    new EventStream(`/events?kinds=stored&limit=${ORDERS_A_SECOND}`,
      (event) => this.#hear("stored", event), (state, error) => this.#tellState("stored", state, error)),
    new EventStream(`/events?kinds=rejected&limit=${REJECTS_A_SECOND}`,
      (event) => this.#hear("rejected", event), (state, error) => this.#tellState("rejected", state, error)),
  ];

  /** The worse of the two. @returns {import("../service/events.js").StreamState} */
  get state() {
    const states = Object.values(this.#states);
    return /** @type {const} */ (["refused", "waiting", "connecting"]).find((state) => states.includes(state)) ?? "live";
  }

  /** Listens while the signal lasts and somebody looks. What was missed meanwhile is counted. @param {AbortSignal} signal */
  attend(signal) {
    const look = () => {
      clearTimeout(this.#hiding);
      if (!document.hidden) this.#begin();
      else this.#hiding = setTimeout(() => this.#end(), HIDDEN_MS);
    };
    document.addEventListener("visibilitychange", look, { signal });
    signal.addEventListener("abort", () => {
      clearTimeout(this.#hiding);
      this.#end();
    });
    look();
  }

  /** The seconds up to the last whole one, the oldest first. @returns {{at: number, second: Second}[]} */
  seconds() {
    const last = Math.floor(Date.now() / 1000) - 1;
    return Array.from({ length: SECONDS }, (_, back) => {
      const at = last - SECONDS + 1 + back;
      return { at, second: this.#seconds.get(at) ?? { stored: 0, rejected: 0, delays: [], isGap: !this.#wasHeard(at) } };
    });
  }

  #begin() {
    if (this.#listening !== null) return;
    this.#listening = new AbortController();
    for (const stream of this.#streams) stream.listen(this.#listening.signal);
  }

  #end() {
    this.#listening?.abort();
    this.#listening = null;
    this.#states = { stored: "connecting", rejected: "connecting" };
    this.#noteState();
  }

  // A second without an event is one in which nothing happened, or nobody listened.
  /** @param {number} at */
  #wasHeard(at) {
    return this.#spans.some(({ from, to }) => from <= at * 1000 && (at + 1) * 1000 <= (to ?? Infinity));
  }

  /** @param {"stored"|"rejected"} kind @param {import("../service/events.js").StreamEvent} event */
  #hear(kind, { kind: told, data, isCatchUp }) {
    const second = this.#now();
    if (told === "skipped") {
      const count = Number(data.count) || 0;
      this.counts[kind] += count;
      this.counts.thinned += count;
      if (!isCatchUp) second[kind] += count;
    } else if (told === kind && !this.#isOlder(data, isCatchUp) && this.#isNew(kind === "stored" ? data.order_uid : data.id)) {
      this.counts[kind] += 1;
      if (!isCatchUp) second[kind] += 1;
      if (kind === "stored" && !isCatchUp) second.delays.push(Math.max(0, serverTime() - Date.parse(data.received_at)));
      if (kind === "stored") keep(this.orders, data, MOST_ORDERS);
      else keep(this.rejects, data, MOST_REJECTS);
    }
    this.#tell();
  }

  // Who comes back is told again what was stored shortly before, also from before the page was opened.
  /** @param {any} data @param {boolean} isCatchUp */
  #isOlder(data, isCatchUp) {
    return isCatchUp && Date.parse(data.received_at) < serverTime(this.#openedAt);
  }

  /** @param {string|number} key */
  #isNew(key) {
    if (this.#keys.has(key)) return false;
    this.#keys.add(key);
    if (this.#keys.size > MOST_KEYS) this.#keys.delete(this.#keys.values().next().value);
    return true;
  }

  /** @returns {Second} */
  #now() {
    const at = Math.floor(Date.now() / 1000);
    let second = this.#seconds.get(at);
    if (!second) {
      second = { stored: 0, rejected: 0, delays: [], isGap: false };
      this.#seconds.set(at, second);
      for (const old of this.#seconds.keys()) if (old < at - 2 * SECONDS) this.#seconds.delete(old);
    }
    return second;
  }

  /** @param {"stored"|"rejected"} kind @param {import("../service/events.js").StreamState} state @param {Error|null} error */
  #tellState(kind, state, error) {
    this.#states[kind] = state;
    this.error = error;
    this.#noteState();
  }

  #noteState() {
    const isLive = this.state === "live";
    const last = this.#spans.at(-1);
    if (isLive) this.#openedAt = Math.min(this.#openedAt, Date.now());
    if (isLive && (last === undefined || last.to !== null)) this.#spans.push({ from: Date.now(), to: null });
    if (!isLive && last && last.to === null) last.to = Date.now();
    this.#spans = this.#spans.filter(({ to }) => to === null || to > Date.now() - 2000 * SECONDS);
    this.#tell();
  }

  // However many events come, those who draw hear of it four times a second.
  #tell() {
    if (this.#isTold) return;
    this.#isTold = true;
    setTimeout(() => {
      this.#isTold = false;
      this.dispatchEvent(new Event("change"));
    }, TELL_MS);
  }
}

/** @param {any[]} list @param {any} one @param {number} most */
function keep(list, one, most) {
  list.unshift(one);
  if (list.length > most) list.length = most;
}

/** One for the page: it goes on where it was when its view is opened again. */
export const feed = new Feed();
