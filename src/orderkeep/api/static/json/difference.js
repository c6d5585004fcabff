/** What two texts differ in, line by line (Myers, An O(ND) Difference Algorithm, 1986). */

/** More edits than this are not looked for: lines are then paired as they come. */
const MOST_EDITS = 1500;

/** @typedef {{kind: "same"|"left"|"right"|"both", left: string|null, right: string|null}} Row */

/**
 * Rows for two columns: a line that both have, or what each has in its place.
 * @param {string[]} left
 * @param {string[]} right
 * @returns {Row[]}
 */
export function sideBySide(left, right) {
  const rows = [];
  /** @type {string[]} */ let gone = [];
  /** @type {string[]} */ let come = [];
  const settle = () => {
    for (let at = 0; at < Math.max(gone.length, come.length); at += 1) {
      rows.push(row(gone[at] ?? null, come[at] ?? null));
    }
    gone = [];
    come = [];
  };
  for (const [a, b] of pairs(left, right)) {
    if (a !== null && b !== null) {
      settle();
      rows.push({ kind: /** @type {const} */ ("same"), left: a, right: b });
    } else if (a !== null) gone.push(a);
    else if (b !== null) come.push(b);
  }
  settle();
  return rows;
}

/** @param {string|null} left @param {string|null} right @returns {Row} */
function row(left, right) {
  if (left === null) return { kind: "right", left, right };
  if (right === null) return { kind: "left", left, right };
  return { kind: left === right ? "same" : "both", left, right };
}

/**
 * @param {string[]} left @param {string[]} right
 * @returns {[string|null, string|null][]}
 */
function pairs(left, right) {
  const steps = shortestEdit(left, right);
  if (steps === null) {
    return [...left.map((line) => /** @type {[string, null]} */ ([line, null])),
      ...right.map((line) => /** @type {[null, string]} */ ([null, line]))];
  }
  /** @type {[string|null, string|null][]} */
  const found = [];
  let x = left.length;
  let y = right.length;
  for (const furthest of steps.reverse()) {
    const k = x - y;
    const down = k === -furthest.edits || (k !== furthest.edits && furthest.at(k - 1) < furthest.at(k + 1));
    const fromX = furthest.edits === 0 ? 0 : furthest.at(down ? k + 1 : k - 1);
    const fromY = furthest.edits === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    for (; x > fromX && y > fromY; x -= 1, y -= 1) found.push([left[x - 1], right[y - 1]]);
    if (furthest.edits === 0) break;
    found.push(down ? [null, right[y - 1]] : [left[x - 1], null]);
    x = fromX;
    y = fromY;
  }
  return found.reverse();
}

/**
 * For each number of edits, how far each diagonal had been reached before it; null when it takes too many.
 * @param {string[]} left @param {string[]} right
 */
function shortestEdit(left, right) {
  const most = Math.min(left.length + right.length, MOST_EDITS);
  let reached = new Int32Array(2 * most + 3);
  const middle = most + 1;
  const steps = [];
  for (let edits = 0; edits <= most; edits += 1) {
    const before = reached.slice();
    steps.push({ edits, at: (/** @type {number} */ k) => before[middle + k] });
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && reached[middle + k - 1] < reached[middle + k + 1]);
      let x = down ? reached[middle + k + 1] : reached[middle + k - 1] + 1;
      while (x < left.length && x - k < right.length && left[x] === right[x - k]) x += 1;
      reached[middle + k] = x;
      if (x >= left.length && x - k >= right.length) return steps;
    }
  }
  return null;
}
