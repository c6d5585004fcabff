/** What the state of the service means: a level for each part, with the reason as the key of a text. */

/**
 * @typedef {"green"|"yellow"|"red"|"unknown"} Level
 * @typedef {{part: string, level: Level, key: string, values?: Record<string, string|number>}} Finding
 */

const WORST = /** @type {Level[]} */ (["red", "yellow", "unknown", "green"]);
/** Messages that wait without it being worth a word. */
const USUAL_LAG = 1000;
const SLOW_DATABASE_MS = 1000;

/** @param {any} state  the answer of `GET /state` @returns {Finding[]} one for each part */
export function verdict(state) {
  return [database(state), cache(state), ...redis(state), ingest(state), lag(state)];
}

/** The worst of them; what is not known is no alarm. @param {Finding[]} findings @returns {Level} */
export function levelOf(findings) {
  const found = WORST.find((level) => findings.some((finding) => finding.level === level)) ?? "green";
  return found === "unknown" ? "green" : found;
}

/** @param {any} state @returns {Finding} */
function database({ health, database_milliseconds: milliseconds }) {
  if (health.database.status !== "ok") return { part: "database", level: "red", key: "state.database-away" };
  if (milliseconds > SLOW_DATABASE_MS) return { part: "database", level: "yellow", key: "state.database-slow" };
  return { part: "database", level: "green", key: "state.database-well" };
}

/** @param {any} state @returns {Finding} */
function cache({ health: { restore } }) {
  if (!restore.following) return { part: "cache", level: "yellow", key: "state.cache-not-following" };
  if (restore.restoring) return { part: "cache", level: "yellow", key: "state.cache-restoring", values: { count: restore.restored } };
  return { part: "cache", level: "green", key: "state.cache-well" };
}

/** Only where there is one. @param {any} state @returns {Finding[]} */
function redis({ health }) {
  if (!health.redis) return [];
  const isWell = health.redis.status === "ok";
  return [{ part: "redis", level: isWell ? "green" : "yellow", key: isWell ? "state.redis-well" : "state.redis-away" }];
}

/** @param {any} state @returns {Finding} */
function ingest({ ingest_processes: processes }) {
  const part = "ingest";
  if (processes.length === 0) return { part, level: "unknown", key: "state.ingest-unknown" };
  const answering = processes.filter((/** @type {any} */ each) => each.status !== null);
  if (answering.length === 0) return { part, level: "red", key: "state.ingest-away" };
  if (answering.some((/** @type {any} */ each) => each.status.trouble !== null)) return { part, level: "red", key: "state.ingest-trouble" };
  if (answering.length < processes.length) return { part, level: "yellow", key: "state.ingest-some-away" };
  return { part, level: "green", key: "state.ingest-well" };
}

/** @param {any} state @returns {Finding} */
function lag(state) {
  const count = totalLag(state);
  if (count === null) return { part: "source", level: "unknown", key: "state.lag-unknown" };
  if (count > USUAL_LAG) return { part: "source", level: "yellow", key: "state.lag-high", values: { count } };
  return { part: "source", level: "green", key: "state.lag-well" };
}

/** Messages that wait in all partitions; null when nothing is known. @param {any} state @returns {number|null} */
function totalLag({ health }) {
  const known = health.ingest.map((/** @type {any} */ each) => each.lag).filter((/** @type {any} */ lag) => lag !== null);
  return known.length ? known.reduce((/** @type {number} */ sum, /** @type {number} */ lag) => sum + lag, 0) : null;
}
