/**
 * Server-sent events (WHATWG HTML, 9.2) by fetch: EventSource can send no key. The stream is made again
 * whenever it ends, from behind the last event that was read.
 */

import { pause } from "../shell/attempt.js";
import { serverTime } from "./clock.js";
import { Problem, Unreachable, failure, mayPass, respond } from "./exchange.js";

/** The service writes at least every 15 seconds: after so long without anything the connection is dead. */
const SILENT_MS = 40_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
/** So long a burst is worked on before the page may answer its reader. */
const AT_ONCE_MS = 12;

/** @typedef {"connecting"|"live"|"waiting"|"refused"} StreamState */
/** @typedef {{kind: string, data: any, isCatchUp: boolean}} StreamEvent  `isCatchUp`: it happened while nobody listened */

export class EventStream {
  #lastId = "";

  /**
   * @param {string} path
   * @param {(event: StreamEvent) => void} hear
   * @param {(state: StreamState, error: Problem|Unreachable|null) => void} tell
   */
  constructor(path, hear, tell) {
    this.path = path;
    this.hear = hear;
    this.tell = tell;
  }

  /** Listens until the signal; what came meanwhile is heard when it is called again. @param {AbortSignal} signal */
  async listen(signal) {
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      this.tell("connecting", null);
      try {
        const heard = await this.#read(signal);
        if (heard) wait = FIRST_WAIT_MS;
        this.tell("waiting", null);
      } catch (error) {
        if (signal.aborted) return;
        const failed = failure(error);
        // The place may be one that this service does not know: then what is new is better than nothing.
        if (failed instanceof Problem && failed.status === 400 && this.#lastId) this.#lastId = "";
        else if (!mayPass(failed)) return this.tell("refused", failed);
        this.tell("waiting", failed);
      }
      await pause(wait * (0.5 + Math.random()), signal).catch(() => {});
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  /** Reads one connection to its end: whether anything was heard. @param {AbortSignal} signal */
  async #read(signal) {
    const silence = new AbortController();
    const both = AbortSignal.any([signal, silence.signal]);
    const headers = { accept: "text/event-stream", ...(this.#lastId && { "last-event-id": this.#lastId }) };
    const response = await respond(this.path, { signal: both, headers });
    const parser = new Parser();
    const connectedAt = serverTime();
    let isCatchUp = this.#lastId !== "";
    let heard = false;
    let began = performance.now();
    let timer = setTimeout(() => silence.abort(), SILENT_MS);
    this.tell("live", null);
    try {
      for await (const text of pieces(response, both)) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENT_MS);
        for (const { id, kind, data } of parser.read(text)) {
          if (id !== null) this.#lastId = id;
          heard ||= data !== undefined;
          if (kind === "bye") return heard;
          // A count has no time: it is of what was missed as long as only such things have come.
          if (isCatchUp && data?.received_at) isCatchUp = Date.parse(data.received_at) < connectedAt;
          if (data !== undefined) this.hear({ kind, data, isCatchUp });
          if (performance.now() - began > AT_ONCE_MS) {
            await breathe();
            began = performance.now();
          }
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!silence.signal.aborted && !(error instanceof TypeError)) throw error;
    } finally {
      clearTimeout(timer);
    }
    return heard;
  }
}

/** @param {Response} response @param {AbortSignal} signal */
async function* pieces(response, signal) {
  const body = response.body;
  if (body === null) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done || signal.aborted) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Lets the browser draw and answer clicks. */
function breathe() {
  return new Promise((resume) => { setTimeout(resume, 0); });
}

/** Text as it comes into events. */
export class Parser {
  #rest = "";

  /**
   * The events that are whole with this piece. `data` is undefined where there is none, or no JSON.
   * @param {string} piece
   * @returns {Generator<{id: string|null, kind: string, data: any}>}
   */
  *read(piece) {
    const blocks = (this.#rest + piece).split(/\r?\n\r?\n/);
    this.#rest = blocks.pop() ?? "";
    for (const block of blocks) yield parsed(block);
  }
}

/** @param {string} block */
function parsed(block) {
  /** @type {{id: string|null, kind: string, data: any}} */
  const event = { id: null, kind: "message", data: undefined };
  const lines = [];
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "id") event.id = value;
    else if (name === "event") event.kind = value;
    else if (name === "data") lines.push(value);
  }
  if (lines.length > 0) event.data = jsonOf(lines.join("\n"));
  return event;
}

/** @param {string} text */
function jsonOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
