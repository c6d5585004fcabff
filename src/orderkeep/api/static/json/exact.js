/**
 * JSON without loss. JSON.parse rounds integers above 2^53 and forgets how a number was written;
 * orders carry 64-bit integers, so a number that would change is kept as the text it came as.
 */

const raw = /** @type {any} */ (JSON).rawJSON;
const hasSources = typeof raw === "function";

/** A number that a double cannot hold as written, e.g. 9223372036854775807 or 1.50. */
export class NumberLiteral {
  /** @param {string} source */
  constructor(source) {
    this.source = source;
  }

  toString() {
    return this.source;
  }

  toJSON() {
    return raw(this.source);
  }
}

/** Throws SyntaxError when the text is not JSON. @param {string} text */
export function parseExactly(text) {
  // `context.source` is younger than the reviver: without it numbers are rounded as everywhere else,
  // and `isRounded` tells.
  /** @type {any} */
  const reviver = (/** @type {string} */ _key, /** @type {any} */ value, /** @type {any} */ context) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source
      ? new NumberLiteral(context.source)
      : value;
  return JSON.parse(text, reviver);
}

/** Whether a number may have lost digits on the way, in a browser that cannot tell how it was written. */
export function isRounded(/** @type {unknown} */ value) {
  return typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER && !hasSources;
}

/** An object as JSON knows it: not null, no array, no NumberLiteral. @param {any} value */
export function isObject(value) {
  const isOther = value === null || Array.isArray(value) || value instanceof NumberLiteral;
  return typeof value === "object" && !isOther;
}
