/** A small live chart, drawn by uPlot, in the colours of the theme. */

import { element } from "../base/dom.js";
import { clock, number } from "../base/format.js";
import { preferences } from "../base/preferences.js";

const HEIGHT = 150;

/** @typedef {{label: string, colour: string, isFilled?: boolean}} Series  `colour` names a custom property */

export class Chart {
  /** @type {any} */
  #plot = null;
  #canvas = element("div", { class: "canvas" });
  #words = element("p", { class: "unseen" });
  /** @type {any[]} */
  #columns = [];

  /**
   * @param {string} title @param {string} unit  of the values, as a text
   * @param {Series[]} series
   * @param {AbortSignal} signal  when it is over
   */
  constructor(title, unit, series, signal) {
    this.series = series;
    this.unit = unit;
    const legend = series.map(({ label, colour }) => element("span", { class: "series", "data-colour": colour }, label));
    this.place = element("figure", { class: "card chart" },
      element("figcaption", {}, element("h2", {}, title), element("span", { class: "count" }, unit),
        element("span", { class: "legend" }, ...legend)),
      this.#canvas, this.#words);
    this.#canvas.setAttribute("aria-hidden", "true");
    const watch = new ResizeObserver(() => this.#fit());
    watch.observe(this.#canvas);
    preferences.addEventListener("theme", () => this.#rebuild(), { signal });
    signal.addEventListener("abort", () => { watch.disconnect(); this.#plot?.destroy(); });
  }

  /** @param {any[]} columns  seconds since 1970, then the values of each series @param {string} words  what a reader who listens is told */
  draw(columns, words) {
    this.#columns = columns;
    this.#words.textContent = words;
    if (this.#plot === null) this.#rebuild();
    else this.#plot.setData(columns);
  }

  #rebuild() {
    this.#plot?.destroy();
    if (this.#columns.length === 0 || this.#canvas.clientWidth === 0) return;
    const Plot = /** @type {any} */ (globalThis).uPlot;
    this.#plot = new Plot(this.#options(), this.#columns, this.#canvas);
  }

  #fit() {
    const width = this.#canvas.clientWidth;
    if (this.#plot === null) this.#rebuild();
    else if (width > 0) this.#plot.setSize({ width, height: HEIGHT });
  }

  #options() {
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
    const axis = {
      stroke: colour("muted"), font: "11px system-ui, sans-serif", ticks: { show: false },
      grid: { stroke: colour("line"), width: 1 },
    };
    return {
      width: this.#canvas.clientWidth, height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { range: (/** @type {any} */ _plot, /** @type {number} */ _least, /** @type {number} */ most) => [0, most > 0 ? most * 1.15 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, space: 90, size: 24,
          values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map((at) => clock(new Date(at * 1000))) },
        { ...axis, size: 46, space: 36,
          values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map((value) => number(value, 1)) },
      ],
      series: [{}, ...this.series.map(({ colour: name, isFilled }) => ({
        stroke: colour(name), width: 1.75, points: { show: false }, spanGaps: false,
        fill: isFilled ? `${colour(name)}22` : undefined,
      }))],
    };
  }
}
