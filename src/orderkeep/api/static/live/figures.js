/** Figures of the last two minutes, from the seconds of the feed. */

/** @param {number[]} values @param {number} share @returns {number|null} */
function percentile(values, share) {
  if (values.length === 0) return null;
  const ordered = values.toSorted((a, b) => a - b);
  return ordered[Math.floor(share * (ordered.length - 1))];
}

/**
 * Columns for charts: the seconds, and for each what happened in it; null where nobody listened.
 * @param {{at: number, second: import("./feed.js").Second}[]} seconds
 */
export function columns(seconds) {
  const of = (/** @type {(second: import("./feed.js").Second) => number|null} */ read) =>
    seconds.map(({ second }) => (second.isGap ? null : read(second)));
  return {
    at: seconds.map(({ at }) => at),
    stored: of((second) => second.stored),
    rejected: of((second) => second.rejected),
    p50: of((second) => percentile(second.delays, 0.5)),
    p99: of((second) => percentile(second.delays, 0.99)),
  };
}

/**
 * The rate of the last seconds, and the delays in them.
 * @param {{at: number, second: import("./feed.js").Second}[]} seconds
 */
export function latest(seconds, count = 10) {
  const heard = seconds.slice(-count).map(({ second }) => second).filter((second) => !second.isGap);
  const delays = heard.flatMap((second) => second.delays);
  const rate = (/** @type {"stored"|"rejected"} */ kind) =>
    heard.length ? heard.reduce((sum, second) => sum + second[kind], 0) / heard.length : null;
  return { stored: rate("stored"), rejected: rate("rejected"), p50: percentile(delays, 0.5), p99: percentile(delays, 0.99) };
}
