/** A list of orders that is kept fresh while somebody looks, and stands still while somebody chooses. */

import { element, fill, say } from "../base/dom.js";
import { t } from "../base/language.js";
import { fetchOrders } from "../service/api.js";
import { connection } from "../service/connection.js";
import { failure } from "../service/exchange.js";
import { wordsFor } from "../shell/attempt.js";
import { moreButton } from "../shell/more.js";
import { orderRow, orderTable, withAddress } from "./list.js";

/** @typedef {import("../service/api.js").OrderLine} OrderLine */
/** @typedef {import("../service/api.js").Page<OrderLine>} OrderPage */

const EVERY_MS = 2000;
/** How long the lines stand still after the pointer or a key was last used among them. */
const STAND_STILL_MS = 4000;

export class NewestOrders {
  place = element("div", { class: "card flush" });
  state = element("p", { class: "pulse", role: "status", hidden: true });
  #held = element("p", { class: "held", role: "status", hidden: true });
  #table = orderTable("orders-title");
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  #stillUntil = 0;
  #isFresh = false;

  /** @param {AbortSignal} signal  when it is over */
  constructor(signal) {
    this.signal = signal;
  }

  /** @param {OrderPage} page */
  show(page) {
    this.#arrange(withAddress(page.lines));
    this.#watchHand();
    fill(this.place, this.#held, this.#table.table,
      page.lines.length === 0 && element("p", { class: "nothing" }, t("list.nothing")),
      moreButton(page.next, (next) => fetchOrders(next, this.signal), (lines) => this.#append(lines)));
  }

  /** @param {() => Promise<OrderPage>} load */
  keepFresh(load) {
    const { signal } = this;
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const refresh = async () => {
      clearTimeout(timer);
      if (signal.aborted || !this.#isFresh) return;
      if (!document.hidden) await this.#refresh(load);
      clearTimeout(timer);
      timer = setTimeout(refresh, EVERY_MS);
    };
    this.#isFresh = true;
    this.#tell("live");
    timer = setTimeout(refresh, EVERY_MS);
    connection.addEventListener("back", refresh, { signal });
    connection.addEventListener("down", () => this.#tell("down"), { signal });
    document.addEventListener("visibilitychange", refresh, { signal });
  }

  /** @param {() => Promise<OrderPage>} load */
  async #refresh(load) {
    try {
      const { lines } = await load();
      if (this.#isFresh) this.#update(withAddress(lines));
    } catch (error) {
      if (this.signal.aborted) return;
      this.#tell("down", wordsFor(failure(error)));
    }
  }

  /** @param {OrderLine[]} lines */
  #update(lines) {
    const isNews = lines.some((line) => !this.#rows.has(line.order_uid));
    const standsStill = isNews && performance.now() < this.#stillUntil;
    this.#held.hidden = !standsStill;
    say(this.#held, standsStill ? t("home.held") : "");
    this.#tell("live");
    if (isNews && !standsStill) this.#arrange(lines);
  }

  // Lines that stay are not touched, so focus, selection and a click in progress survive a refresh.
  /** @param {OrderLine[]} lines */
  #arrange(lines) {
    const { body } = this.#table;
    this.place.querySelector(".nothing")?.remove();
    const wanted = new Set(lines.map((line) => line.order_uid));
    for (const uid of this.#rows.keys()) if (!wanted.has(uid)) this.#drop(uid);
    let place = body.firstChild;
    for (const line of lines) {
      const row = this.#row(line);
      if (row === place) place = place.nextSibling;
      else body.insertBefore(row, place);
    }
  }

  /** @param {string} uid */
  #drop(uid) {
    this.#rows.get(uid)?.remove();
    this.#rows.delete(uid);
  }

  // Whoever reads on to older orders is not to lose them: from then on nothing is brought by itself.
  /** @param {OrderLine[]} lines */
  #append(lines) {
    this.#isFresh = false;
    this.#tell("paused");
    this.#table.body.append(...withAddress(lines).map((line) => this.#row(line)));
  }

  /** @param {OrderLine} line */
  #row(line) {
    const known = this.#rows.get(line.order_uid);
    if (known) return known;
    const row = orderRow(line);
    this.#rows.set(line.order_uid, row);
    return row;
  }

  #watchHand() {
    const { table } = this.#table;
    const choosing = () => { this.#stillUntil = performance.now() + STAND_STILL_MS; };
    for (const sign of ["pointermove", "keydown", "focusin"]) table.addEventListener(sign, choosing);
    const chosen = () => { this.#stillUntil = 0; };
    for (const sign of ["click", "pointerleave"]) table.addEventListener(sign, chosen);
  }

  /** @param {string} state @param {string} words */
  #tell(state, words = t(`pulse.${state}`)) {
    this.state.hidden = false;
    this.state.dataset.state = state;
    say(this.state, words);
  }
}
