/** The payload of a message: as text with the fault marked in it, or as bytes in hex. */

import { button, element, fill } from "../base/dom.js";
import { t } from "../base/language.js";
import { personalPlaces } from "../base/mask.js";
import { byteOf, faultIn } from "./fault.js";

/** So much of a text is drawn around the fault; all of it only when asked for. */
const SHOWN_BEFORE = 4000;
const SHOWN = 20_000;
const ROW = 16;
const ROWS_BEFORE = 8;
const ROWS = 64;
/** Characters that cannot be seen, or turn the direction of what is around them. */
const UNSEEN = /([\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff])/;

/** @typedef {{start: number, end: number, kind: "fault"|"personal"}} Mark */

/**
 * @param {import("../service/api.js").Reject} reject
 * @param {boolean} isMasked  whether personal data is covered
 */
export function payloadView(reject, isMasked) {
  if (reject.discarded_at !== null) return element("p", { class: "muted" }, t("payload.discarded"));
  if (reject.text === null && reject.base64 === null) return element("p", { class: "muted" }, t("payload.none"));
  if (reject.text === "") return element("p", { class: "muted" }, t("payload.empty"));
  const text = reject.text;
  const bytes = text === null ? bytesOf(reject.base64 ?? "") : new TextEncoder().encode(text);
  const hex = () => hexView(bytes, reject.kind === "not_utf8" ? byteOf(reject.reason) : null, isMasked);
  if (text === null) return hex();
  return switched(() => textView(text, faultIn(reject.kind, reject.reason, text), isMasked), hex);
}

/** Text or hex, as the reader wants it. @param {() => HTMLElement} asText @param {() => HTMLElement} asHex */
function switched(asText, asHex) {
  const place = element("div", {}, asText());
  const choose = (/** @type {Event} */ event) => {
    const pressed = /** @type {HTMLElement} */ (event.currentTarget);
    for (const each of buttons) each.setAttribute("aria-pressed", String(each === pressed));
    fill(place, pressed === buttons[0] ? asText() : asHex());
  };
  const buttons = [
    button(t("payload.text"), choose, { "aria-pressed": "true" }),
    button(t("payload.hex"), choose, { "aria-pressed": "false" }),
  ];
  return element("div", {}, element("div", { class: "switch", role: "group", "aria-label": t("payload.form") }, ...buttons), place);
}

/** @param {string} text @param {import("./fault.js").Fault|null} fault @param {boolean} isMasked */
function textView(text, fault, isMasked) {
  /** @type {Mark[]} */
  const marks = isMasked ? personalPlaces(text).map(([start, end]) => ({ start, end, kind: /** @type {const} */ ("personal") })) : [];
  if (fault && fault.end > fault.start) marks.push({ ...fault, kind: "fault" });
  const start = Math.max(0, (fault?.start ?? 0) - SHOWN_BEFORE);
  const end = Math.min(text.length, start + SHOWN);
  const block = element("pre", { class: "payload", dir: "ltr", tabindex: "0", role: "region", "aria-label": t("payload.title") });
  const draw = (/** @type {number} */ from, /** @type {number} */ to) => fill(block,
    from > 0 && element("span", { class: "cut" }, "… "),
    ...marked(text, marks, fault, from, to),
    to < text.length && element("span", { class: "cut" }, " …"));
  draw(start, end);
  const place = element("div", {}, block);
  if (start > 0 || end < text.length) {
    const all = button(t("payload.all"), () => { draw(0, text.length); all.remove(); }, { class: "quiet" });
    place.append(element("div", { class: "more" }, all));
  }
  requestAnimationFrame(() => scrollTo(block, block.querySelector("mark")));
  return place;
}

// Only within the block: the page stays where its reader is.
/** @param {HTMLElement} block @param {HTMLElement|null} mark */
function scrollTo(block, mark) {
  if (mark !== null) block.scrollTop = mark.offsetTop - block.offsetTop - block.clientHeight / 3;
}

/**
 * The text from one place to another, in pieces: marked, covered, or as it is.
 * @param {string} text @param {Mark[]} marks @param {import("./fault.js").Fault|null} fault @param {number} from @param {number} to
 */
function marked(text, marks, fault, from, to) {
  const cuts = new Set([from, to]);
  for (const { start, end } of marks) for (const at of [start, end]) if (at > from && at < to) cuts.add(at);
  if (fault && fault.start >= from && fault.start <= to) cuts.add(fault.start);
  const places = [...cuts].sort((a, b) => a - b);
  const pieces = places.slice(0, -1).flatMap((start, at) => {
    const end = places[at + 1];
    const on = marks.filter((mark) => mark.start <= start && end <= mark.end).map((mark) => mark.kind);
    const content = on.includes("personal") ? ["•".repeat(Math.min(end - start, 24))] : visible(text.slice(start, end));
    const piece = on.includes("fault") ? [element("mark", {}, ...content)] : content;
    return fault?.missing !== undefined && end === fault.end ? [...piece, missing(fault.missing)] : piece;
  });
  const isAtEnd = fault && fault.start === fault.end && fault.start === to;
  return isAtEnd ? [...pieces, element("mark", { class: "end" }, t("payload.ends"))] : pieces;
}

/** @param {string} name */
function missing(name) {
  return element("mark", { class: "missing" }, t("payload.missing", { name }));
}

/** Characters that would not be seen, as what they are. @param {string} text @returns {(string|HTMLElement)[]} */
function visible(text) {
  // Split at a group, every other piece is what it has found.
  return text.split(UNSEEN).map((piece, at) =>
    at % 2 ? element("span", { class: "unseen-character" }, `U+${hexOf(piece.charCodeAt(0), 4)}`) : piece);
}

/** @param {Uint8Array} bytes @param {number|null} fault @param {boolean} isMasked */
function hexView(bytes, fault, isMasked) {
  const rows = Math.ceil(bytes.length / ROW);
  const covered = isMasked ? coveredBytes(bytes) : new Uint8Array(bytes.length);
  const block = element("pre", { class: "payload hex", dir: "ltr", tabindex: "0", role: "region", "aria-label": t("payload.title") });
  const draw = (/** @type {number} */ from, /** @type {number} */ to) => {
    const lines = Array.from({ length: to - from }, (_, at) => hexRow(bytes, (from + at) * ROW, fault, covered));
    fill(block, joined(lines.flat()));
  };
  const from = Math.max(0, Math.floor((fault ?? 0) / ROW) - ROWS_BEFORE);
  const to = Math.min(rows, from + ROWS);
  draw(from, to);
  const place = element("div", {}, block);
  if (from > 0 || to < rows) {
    const all = button(t("payload.all"), () => { draw(0, rows); all.remove(); }, { class: "quiet" });
    place.append(element("div", { class: "more" }, all));
  }
  return place;
}

/** For each byte whether it is covered. @param {Uint8Array} bytes */
function coveredBytes(bytes) {
  const covered = new Uint8Array(bytes.length);
  // windows-1252 has a character for each byte, so places in the text are places of bytes.
  for (const [start, end] of personalPlaces(new TextDecoder("windows-1252").decode(bytes))) covered.fill(1, start, end);
  return covered;
}

/**
 * A line: the place, the bytes, and what they are in ASCII. One text where nothing is marked: a megabyte has
 * 62,500 lines.
 * @param {Uint8Array} bytes @param {number} start @param {number|null} fault @param {Uint8Array} covered
 */
function hexRow(bytes, start, fault, covered) {
  const row = Array.from(bytes.subarray(start, start + ROW));
  const codes = row.map((byte, at) => (covered[start + at] ? "••" : hexOf(byte, 2)));
  const letters = row.map((byte, at) => (covered[start + at] ? "•" : byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."));
  const gap = " ".repeat((ROW - row.length) * 3 + 2);
  const mark = fault !== null && fault >= start && fault < start + row.length ? fault - start : null;
  if (mark === null) return [`${hexOf(start, 8)}  ${codes.join(" ")}${gap}${letters.join("")}\n`];
  return [`${hexOf(start, 8)}  `, ...around(codes, mark, " "), gap, ...around(letters, mark, ""), "\n"];
}

/** The same with the texts in a row as one. @param {(string|HTMLElement)[]} pieces */
function joined(pieces) {
  /** @type {(string|HTMLElement)[]} */
  const found = [];
  /** @type {string[]} */
  let texts = [];
  for (const piece of pieces) {
    if (typeof piece === "string") texts.push(piece);
    else {
      found.push(texts.join(""), piece);
      texts = [];
    }
  }
  return [...found, texts.join("")];
}

/** @param {string[]} parts @param {number} at  of the one that is marked @param {string} between */
function around(parts, at, between) {
  const before = parts.slice(0, at).map((part) => part + between).join("");
  const after = parts.slice(at + 1).map((part) => between + part).join("");
  return [before, element("mark", {}, parts[at]), after];
}

/** @param {number} value @param {number} digits */
function hexOf(value, digits) {
  return value.toString(16).padStart(digits, "0");
}

/** @param {string} base64 */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
