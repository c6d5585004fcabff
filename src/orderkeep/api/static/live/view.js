/** Live: orders and rejects as they come, with their rate and how long they take to be seen. */

import { button, element, fill, foreign, say } from "../base/dom.js";
import { amount, clock, duration, number } from "../base/format.js";
import { t } from "../base/language.js";
import { address, orderAddress } from "../base/route.js";
import { maskedText } from "../base/mask.js";
import { fetchState } from "../service/api.js";
import { noteClock } from "../service/clock.js";
import { Problem } from "../service/exchange.js";
import { pause, wordsFor } from "../shell/attempt.js";
import { Chart } from "./chart.js";
import { feed } from "./feed.js";
import { columns, latest } from "./figures.js";

const CHART_MS = 1000;
const STATE_MS = 5000;
const ROWS = 50;

/** @param {import("../app.js").Page} page */
export function showLive(page) {
  page.title(t("view.live"));
  const live = new LiveView(page.signal);
  fill(page.place, live.place);
  live.begin();
}

class LiveView {
  #state = element("p", { class: "pulse", role: "status", "data-state": "waiting" });
  #pauseButton = button("", () => this.#toggle(), { class: "quiet", "aria-pressed": "false" });
  #held = element("p", { class: "held", role: "status", hidden: true });
  #tiles = new Tiles();
  #orders = new Rows("live.orders", "live.no-orders", orderRow);
  #rejects = new Rows("live.rejects", "live.no-rejects", rejectRow);
  /** What was there when it was paused. @type {{stored: number, rejected: number}|null} */
  #pausedAt = null;

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    this.charts = {
      rate: new Chart(t("chart.rate"), t("chart.per-second"), [{ label: t("chart.stored"), colour: "accent", isFilled: true }], signal),
      delay: new Chart(t("chart.delay"), t("chart.milliseconds"), [
        { label: t("chart.p50"), colour: "accent" }, { label: t("chart.p99"), colour: "warn" }], signal),
      rejects: new Chart(t("chart.rejects"), t("chart.per-second"), [{ label: t("chart.rejected"), colour: "warn", isFilled: true }], signal),
    };
    this.place = element("div", { class: "live" },
      element("div", { class: "head" }, element("h1", {}, t("view.live")), this.#state, this.#pauseButton),
      this.#tiles.place,
      element("div", { class: "charts" }, this.charts.rate.place, this.charts.delay.place, this.charts.rejects.place),
      this.#held,
      element("div", { class: "feeds" }, this.#orders.place, this.#rejects.place));
  }

  begin() {
    feed.attend(this.signal);
    feed.addEventListener("change", () => this.#draw(), { signal: this.signal });
    this.#drawPause();
    this.#draw();
    this.#drawCharts();
    const timer = setInterval(() => this.#drawCharts(), CHART_MS);
    this.signal.addEventListener("abort", () => clearInterval(timer));
    this.#keepState().catch(() => {});
  }

  #draw() {
    const isPaused = this.#pausedAt !== null;
    this.#state.dataset.state = isPaused ? "paused" : feed.state;
    say(this.#state, isPaused ? t("pulse.paused") : stateWords());
    this.#tiles.count(feed.counts);
    this.#drawHeld();
    if (isPaused) return;
    this.#orders.draw(feed.orders.slice(0, ROWS));
    this.#rejects.draw(feed.rejects.slice(0, ROWS));
  }

  #drawHeld() {
    const before = this.#pausedAt;
    this.#held.hidden = before === null;
    if (before === null) return;
    say(this.#held, t("live.held", {
      orders: feed.counts.stored - before.stored, rejects: feed.counts.rejected - before.rejected,
    }));
  }

  #toggle() {
    this.#pausedAt = this.#pausedAt === null ? { ...feed.counts } : null;
    this.#drawPause();
    this.#draw();
  }

  #drawPause() {
    const isPaused = this.#pausedAt !== null;
    this.#pauseButton.setAttribute("aria-pressed", String(isPaused));
    this.#pauseButton.textContent = t(isPaused ? "live.go-on" : "live.pause");
  }

  #drawCharts() {
    if (document.hidden) return;
    const seconds = feed.seconds();
    const now = latest(seconds);
    this.#tiles.rate(now);
    const { at, stored, rejected, p50, p99 } = columns(seconds);
    this.charts.rate.draw([at, stored], t("chart.said", { value: figure(now.stored) }));
    this.charts.delay.draw([at, p50, p99], t("chart.said", { value: time(now.p50) }));
    this.charts.rejects.draw([at, rejected], t("chart.said", { value: figure(now.rejected) }));
  }

  /** What only ingest knows: how long a message took from the broker to its commit. */
  async #keepState() {
    for (;;) {
      try {
        const { state, ahead, uncertainty } = await fetchState(this.signal);
        noteClock(ahead, uncertainty);
        const delays = state.ingest_processes.map((/** @type {any} */ each) => each.status?.commit_delay);
        this.#tiles.broker(delays.find((/** @type {any} */ each) => each) ?? null);
      } catch (error) {
        this.signal.throwIfAborted();
        if (error instanceof Problem && !error.passes) return;
      }
      await pause(STATE_MS, this.signal);
    }
  }
}

function stateWords() {
  if (feed.state === "refused" && feed.error instanceof Problem) return wordsFor(feed.error);
  return t(`pulse.${feed.state}`);
}

/** The figures above the charts. */
class Tiles {
  #figures = Object.fromEntries(["stored", "rate", "rejected", "seen", "broker"].map((name) =>
    [name, { value: element("strong", {}, "–"), note: element("span", { class: "note" }) }]));

  place = element("dl", { class: "tiles" }, ...Object.entries(this.#figures).map(([name, { value, note }]) =>
    element("div", { class: "card tile", "data-tile": name }, element("dt", {}, t(`tile.${name}`)), element("dd", {}, value, note))));

  /** @param {{stored: number, rejected: number, thinned: number}} counts */
  count(counts) {
    this.#set("stored", number(counts.stored), counts.thinned ? t("tile.thinned", { count: counts.thinned }) : t("tile.since"));
    this.#set("rejected", number(counts.rejected), t("tile.since"));
  }

  /** @param {ReturnType<typeof latest>} now */
  rate(now) {
    this.#set("rate", figure(now.stored), t("tile.seconds"));
    this.#set("seen", time(now.p50), now.p99 === null ? "" : t("tile.p99", { time: duration(now.p99) }));
  }

  /** @param {{p50: number, p99: number}|null} delay */
  broker(delay) {
    this.#set("broker", time(delay?.p50 ?? null), delay ? t("tile.p99", { time: duration(delay.p99) }) : t("tile.unknown"));
  }

  /** @param {string} name @param {string} value @param {string} note */
  #set(name, value, note) {
    say(this.#figures[name].value, value);
    say(this.#figures[name].note, note);
  }
}

/** A list of the latest: lines that stay are not touched, so that a click in progress survives. */
class Rows {
  #list = element("ol", { class: "feed" });
  /** @type {Map<any, HTMLElement>} */
  #drawn = new Map();

  /** @param {string} title @param {string} nothing @param {(event: any) => HTMLElement} row */
  constructor(title, nothing, row) {
    this.row = row;
    this.nothing = element("p", { class: "nothing" }, t(nothing));
    this.place = element("section", { class: "card flush" }, element("h2", {}, t(title)), this.nothing, this.#list);
  }

  /** @param {any[]} events  the latest first */
  draw(events) {
    this.nothing.hidden = events.length > 0;
    const drawn = new Map(events.map((event) => [event, this.#drawn.get(event) ?? this.row(event)]));
    for (const [event, row] of this.#drawn) if (!drawn.has(event)) row.remove();
    this.#drawn = drawn;
    let place = this.#list.firstChild;
    for (const row of drawn.values()) {
      if (row === place) place = place.nextSibling;
      else this.#list.insertBefore(row, place);
    }
  }
}

/** @param {any} order */
function orderRow(order) {
  return element("li", {}, element("a", { href: orderAddress(order.order_uid) },
    element("span", { class: "row-main mono" }, order.order_uid),
    element("span", { class: "row-figure" }, order.amount === null ? "" : amount(order.amount, order.currency)),
    element("span", { class: "row-more" }, foreign(order.customer_id), foreign(order.track_number),
      order.items === null ? null : t("items.count", { count: order.items })),
    element("time", { datetime: order.received_at }, clock(new Date(order.received_at)))));
}

/** @param {any} reject */
function rejectRow(reject) {
  return element("li", {}, element("a", { href: address("rejects", reject.id) },
    element("span", { class: "row-main" }, element("span", { class: "badge" }, t(`kind.${reject.kind}`))),
    element("time", { datetime: reject.received_at }, clock(new Date(reject.received_at))),
    foreign(maskedText(reject.reason), { class: "row-more reason", lang: "en" })));
}

/** @param {number|null} value */
function figure(value) {
  return value === null ? "–" : number(value, value < 10 ? 1 : 0);
}

/** @param {number|null} milliseconds */
function time(milliseconds) {
  return milliseconds === null ? "–" : duration(milliseconds);
}
