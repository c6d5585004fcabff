/** Where in a rejected message the fault is, as far as its reason tells (docs/rejects.md has the kinds). */

import { follow, read } from "../json/text.js";

/** @typedef {{start: number, end: number, missing?: string}} Fault  in UTF-16 units; `missing` is a field that is not there */

/** What is shown of a value that is at fault as a whole. */
const LONGEST = 200;

/**
 * The fault in a text, or null when there is none to point at.
 * @param {string} kind @param {string} reason @param {string} text
 * @returns {Fault|null}
 */
export function faultIn(kind, reason, text) {
  const byte = byteOf(reason);
  if (kind === "invalid") return invalid(reason, text);
  if (kind === "not_json") return byte === null ? { start: text.length, end: text.length } : atByte(text, byte, 1);
  if (kind === "too_deep") return byte === null ? null : atByte(text, byte, 1);
  if (kind === "nul") return byte === null ? null : atByte(text, byte, 6);
  if (kind === "lone_surrogate" && byte !== null) {
    // A high surrogate is found to be alone only behind its end.
    return reason.includes("before byte") ? atByte(text, byte - 6, 6) : atByte(text, byte, 6);
  }
  return null;
}

/** The byte that a reason names, such as "at byte 12" or "(byte 12)". @param {string} reason @returns {number|null} */
export function byteOf(reason) {
  const found = /\bbyte (\d+)\b/.exec(reason);
  return found ? Number(found[1]) : null;
}

/** @param {string} reason @param {string} text @returns {Fault|null} */
function invalid(reason, text) {
  const root = read(text);
  if (root === null) return null;
  const path = /- at `(\$[^`]*)`$/.exec(reason)?.[1] ?? "$";
  const node = follow(root, path);
  const missing = /missing required field `([^`]+)`/.exec(reason)?.[1];
  if (missing !== undefined) return { start: node.start, end: node.start + 1, missing };
  return { start: node.start, end: Math.min(node.end, node.start + LONGEST) };
}

/** @param {string} text @param {number} byte @param {number} length  in ASCII characters @returns {Fault} */
function atByte(text, byte, length) {
  const start = unitAt(text, Math.max(0, byte));
  return { start, end: Math.min(text.length, start + length) };
}

/** The UTF-16 unit in which the character at a byte begins. @param {string} text @param {number} byte */
function unitAt(text, byte) {
  let bytes = 0;
  let unit = 0;
  for (const character of text) {
    if (bytes >= byte) break;
    const code = /** @type {number} */ (character.codePointAt(0));
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    unit += character.length;
  }
  return unit;
}
