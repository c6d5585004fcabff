/** The state of the service, for whoever is on call: what is well, what is not, and why. */

import { element, fill, foreign, say } from "../base/dom.js";
import { ago, clock, duration, moment, number, plain, share, size } from "../base/format.js";
import { t } from "../base/language.js";
import { fetchState } from "../service/api.js";
import { noteClock, serverTime } from "../service/clock.js";
import { connection } from "../service/connection.js";
import { failure } from "../service/exchange.js";
import { failureCard, wordsFor } from "../shell/attempt.js";
import { definitions } from "../orders/fields.js";
import { levelOf, verdict } from "./verdict.js";

const EVERY_MS = 2000;

/** @param {import("../app.js").Page} page */
export function showState(page) {
  page.title(t("view.state"));
  const view = new StateView(page);
  view.begin();
}

class StateView {
  #overall = element("div", { class: "overall", role: "status" });
  #asOf = element("p", { class: "muted" });
  #parts = element("div", { class: "stack" });
  #settings = element("div", {});
  #isShown = false;

  /** @param {import("../app.js").Page} page */
  constructor(page) {
    this.page = page;
    fill(page.place, element("div", { class: "head" }, element("h1", {}, t("view.state")), this.#asOf),
      this.#overall, this.#parts, this.#settings);
  }

  begin() {
    const { signal } = this.page;
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const look = async () => {
      clearTimeout(timer);
      if (!document.hidden) await this.#look();
      clearTimeout(timer);
      if (!signal.aborted) timer = setTimeout(look, EVERY_MS);
    };
    look();
    connection.addEventListener("back", look, { signal });
    document.addEventListener("visibilitychange", look, { signal });
    signal.addEventListener("abort", () => clearTimeout(timer));
  }

  async #look() {
    const { signal } = this.page;
    try {
      const { state, ahead, uncertainty } = await fetchState(signal);
      noteClock(ahead, uncertainty);
      this.#draw(state);
    } catch (error) {
      if (signal.aborted) return;
      const failed = failure(error);
      // What was shown stays, with the time that it is of.
      this.#tellOverall("red", [wordsFor(failed)]);
      if (!this.#isShown) fill(this.#parts, failureCard(failed, true));
    }
  }

  /** @param {any} state */
  #draw(state) {
    const findings = verdict(state);
    const wrong = findings.filter(({ level }) => level === "red" || level === "yellow");
    this.#tellOverall(levelOf(findings), wrong.map(({ key, values }) => t(key, values)));
    // Whoever marks a figure to copy it keeps it until the mark is gone.
    if (this.#isShown && isMarkedIn(this.#parts)) return;
    say(this.#asOf, t("state.as-of", { time: clock(new Date(state.now)) }));
    fill(this.#parts,
      element("div", { class: "parts" },
        ...findings.map((finding) => partCard(finding, state))),
      sourceCard(state), latencyCard(state),
      element("div", { class: "pair" }, restoreCard(state), versionsCard(state)));
    if (!this.#isShown) fill(this.#settings, settingsCard(state.settings));
    this.#isShown = true;
  }

  /** @param {string} level @param {string[]} reasons */
  #tellOverall(level, reasons) {
    const words = [t(`level.${level}`), ...reasons].join(" · ");
    if (this.#overall.dataset.words === words) return;
    this.#overall.dataset.words = words;
    this.#overall.dataset.level = level;
    fill(this.#overall, element("strong", {}, t(`level.${level}`)), ...reasons.map((reason) => element("span", {}, reason)));
  }
}

/** @param {import("./verdict.js").Finding} finding @param {any} state */
function partCard({ part, level, key, values }, state) {
  return element("section", { class: "card part", "data-level": level, "data-part": part },
    element("h2", {}, t(`state.${part}`)), element("p", {}, t(key, values)), definitions(figuresOf(part, state)));
}

/** @param {string} part @param {any} state @returns {[string, any][]} */
function figuresOf(part, state) {
  const { health, reads } = state;
  if (part === "database") {
    const { orders } = health.database;
    return [
      [t("state.orders"), orders === null ? undefined : `≈ ${number(orders)}`],
      [t("state.answers-in"), duration(state.database_milliseconds)],
      ...detail(health.database.detail),
    ];
  }
  if (part === "cache") return cacheFigures(health.cache, reads);
  if (part === "redis") return redisFigures(health.redis, reads);
  if (part === "ingest") return state.ingest_processes.flatMap(ingestFigures);
  const total = health.ingest.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + (each.lag ?? 0), 0);
  return [[t("state.waiting"), number(total)], [t("state.partitions"), number(health.ingest.length)]];
}

/** @param {any} cache @param {any} reads @returns {[string, any][]} */
function cacheFigures(cache, reads) {
  const hits = reads.fast_lane + reads.cache;
  const total = hits + reads.redis + reads.database;
  const isByNumber = cache.max_orders !== null;
  const fillShare = isByNumber ? cache.entries / cache.max_orders : cache.bytes / Math.max(1, cache.max_bytes);
  return [
    [t("state.hits"), total ? meter(hits / total, t("state.of-reads", { count: total })) : undefined],
    [t("state.fill"), meter(fillShare, isByNumber ? number(cache.max_orders) : size(cache.max_bytes))],
    [t("state.in-memory"), t("state.orders-bytes", { count: cache.entries, size: size(cache.bytes) })],
    [t("state.evictions"), number(cache.evictions)],
  ];
}

/** Of what was not in memory. @param {any} redis @param {any} reads @returns {[string, any][]} */
function redisFigures(redis, reads) {
  const total = reads.redis + reads.database;
  return [
    [t("state.hits"), total ? meter(reads.redis / total, t("state.of-reads", { count: total })) : undefined],
    [t("state.fills"), t(redis.fills ? "yes" : "no")],
    ...detail(redis.detail),
  ];
}

/** What a part says of itself, if it does. @param {string|null} words @returns {[string, any][]} */
function detail(words) {
  return words ? [[t("state.detail"), foreign(words, { lang: "en" })]] : [];
}

/** @param {any} process @returns {[string, any][]} */
function ingestFigures({ url, status, detail: why }) {
  if (status === null) return [[url, foreign(why ?? "", { lang: "en" })]];
  const outcomes = Object.entries(status.outcomes).filter(([, count]) => Number(count) > 0);
  return [
    [t("state.consumed"), number(status.consumed)],
    ...outcomes.map(([name, count]) => /** @type {[string, any]} */ ([t(`outcome.${name}`), number(Number(count))])),
    ...(status.trouble ? [/** @type {[string, any]} */ ([t("state.trouble"), foreign(status.trouble, { lang: "en" })])] : []),
  ];
}

/** @param {any} state */
function sourceCard({ health }) {
  const columns = ["topic", "group", "partition", "next", "lag", "updated"];
  const rows = health.ingest.map((/** @type {any} */ each) => element("tr", {},
    cell("topic", foreign(`${each.topic} (${each.kind})`)), cell("group", foreign(each.consumer_group)),
    cell("partition", String(each.partition)), cell("next", number(each.next_position)),
    cell("lag", each.lag === null ? "?" : number(each.lag)),
    cell("updated", element("time", { datetime: each.updated_at, title: moment(each.updated_at) }, ago(each.updated_at, serverTime())))));
  return element("section", { class: "card flush" }, element("h2", { id: "source-title" }, t("state.lag-title")),
    rows.length ? element("table", { class: "list partitions", "aria-labelledby": "source-title" },
      element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col", class: name }, t(`partitions.${name}`))))),
      element("tbody", {}, ...rows)) : element("p", { class: "nothing" }, t("state.no-partitions")));
}

/** @param {any} state */
function latencyCard(state) {
  const rows = state.ingest_processes.filter((/** @type {any} */ each) => each.status !== null)
    .flatMap((/** @type {any} */ { status }) => [["commit", status.commit_delay], ["write", status.batch_write]])
    .filter((/** @type {any} */ [, delay]) => delay);
  if (rows.length === 0) return null;
  const heads = ["latency.what", "p50", "p99"];
  return element("section", { class: "card flush" }, element("h2", { id: "latency-title" }, t("latency.title")),
    element("table", { class: "list latency", "aria-labelledby": "latency-title" },
      element("thead", {}, element("tr", {}, ...heads.map((key) => element("th", { scope: "col" }, key.startsWith("p") ? key : t(key))))),
      element("tbody", {}, ...rows.map((/** @type {any} */ [name, delay]) => element("tr", {},
        element("th", { scope: "row" }, t(`latency.${name}`)), element("td", {}, duration(delay.p50)), element("td", {}, duration(delay.p99)))))));
}

/** @param {any} state */
function restoreCard({ health: { restore } }) {
  return element("section", { class: "card" }, element("h2", {}, t("restore.title")), definitions([
    [t("restore.state"), t(restore.restoring ? "restore.running" : "restore.done")],
    [t("restore.orders"), number(restore.restored)],
    [t("restore.time"), duration(restore.seconds * 1000)],
    [t("restore.following"), t(restore.following ? "yes" : "no")],
  ]));
}

/** @param {any} state */
function versionsCard({ versions, process }) {
  return element("section", { class: "card" }, element("h2", {}, t("versions.title")), definitions([
    ...Object.entries(versions),
    [t("versions.process"), t("versions.of", { pid: String(process.pid), count: process.processes })],
    [t("versions.since"), moment(process.started_at)],
  ]));
}

/** @param {any[]} settings */
function settingsCard(settings) {
  const rows = settings.map(({ name, value, changed }) => element("tr", { class: changed ? "changed" : null },
    element("th", { scope: "row", class: "mono" }, name),
    element("td", { class: "mono" }, foreign(plain(value))),
    element("td", {}, changed ? t("settings.changed") : "")));
  const heads = ["settings.name", "settings.value", "settings.origin"];
  return element("details", { class: "card" }, element("summary", {}, element("h2", { id: "settings-title" }, t("settings.title"))),
    element("table", { class: "list settings", "aria-labelledby": "settings-title" },
      element("thead", {}, element("tr", {}, ...heads.map((key) => element("th", { scope: "col" }, t(key))))),
      element("tbody", {}, ...rows)));
}

/** @param {number} part @param {string} of */
function meter(part, of) {
  const shown = share(part);
  return element("span", { class: "meter-line" },
    element("meter", { min: 0, max: 1, value: part, "aria-label": shown }), ` ${shown} `, element("span", { class: "muted" }, of));
}

/** @param {string} name @param {any} content */
function cell(name, content) {
  return element("td", { class: name, "data-label": t(`partitions.${name}`) }, content);
}

/** @param {Element} place */
function isMarkedIn(place) {
  const marked = getSelection();
  return marked !== null && !marked.isCollapsed && place.contains(marked.anchorNode);
}
