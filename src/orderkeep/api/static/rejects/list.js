/** Rejected messages: those of a kind and a time, and the replay of one or many. */

import { button, element, field, fill, foreign, say } from "../base/dom.js";
import { moment, number, shortMoment, size } from "../base/format.js";
import { t } from "../base/language.js";
import { maskedText } from "../base/mask.js";
import { address } from "../base/route.js";
import { fetchRejects } from "../service/api.js";
import { attempt, failureCard } from "../shell/attempt.js";
import { moreButton } from "../shell/more.js";
import { periodFields, periodOf } from "../shell/period.js";
import { replayed } from "./replay.js";

const LIMIT = 25;
const KINDS = ["invalid", "not_json", "conflict", "not_utf8", "nul", "lone_surrogate", "too_deep", "too_large",
  "empty", "tombstone", "database"];
const COLUMNS = ["kind", "reason", "place", "received", "outcome"];

/** @typedef {import("../service/api.js").RejectLine} RejectLine */

/** @param {import("../app.js").Page} page */
export async function showRejects(page) {
  page.title(t("view.rejects"));
  const kind = KINDS.find((name) => name === page.route.query.get("kind")) ?? null;
  const period = periodOf(page.route.query);
  const list = new RejectList(page.signal);
  const place = element("div", { "aria-busy": "true" });
  fill(page.place,
    element("div", { class: "head" }, element("h1", { id: "rejects-title" }, t("view.rejects")), filters(kind, period)), place);
  const first = await attempt((signal) => fetchRejects({ kind, ...period, limit: LIMIT }, signal), page.signal,
    (error, passes) => fill(place, failureCard(error, passes)));
  place.setAttribute("aria-busy", "false");
  if (first === null) return;
  page.say(t("rejects.count", { count: first.lines.length }));
  list.append(first.lines);
  fill(place, first.lines.length ? list.place : element("p", { class: "card nothing" }, t("rejects.none")),
    moreButton(first.next, (next) => fetchRejects(next, page.signal), (lines) => list.append(lines)));
}

/** @param {string|null} kind @param {import("../shell/period.js").Period} period */
function filters(kind, period) {
  const go = (/** @type {any} */ change) => { location.hash = address("rejects", null, { kind, ...period, ...change }); };
  const select = /** @type {HTMLSelectElement} */ (element("select", { onchange: () => go({ kind: select.value || null }) },
    element("option", { value: "" }, t("rejects.all")),
    ...KINDS.map((name) => element("option", { value: name, selected: name === kind }, t(`kind.${name}`)))));
  return element("div", { class: "filters" },
    field(t("column.kind"), select), ...periodFields(period, go));
}

class RejectList {
  /** @type {Map<number, {box: HTMLInputElement, outcome: HTMLElement}>} */
  #rows = new Map();
  #all = /** @type {HTMLInputElement} */ (element("input", {
    type: "checkbox", "aria-label": t("rejects.choose-all"), onchange: () => this.#chooseAll(),
  }));
  #replay = button("", () => this.#replayChosen(), { disabled: true });
  #said = element("p", { role: "status", class: "muted" });
  #body = element("tbody", { role: "rowgroup" });
  #isReplaying = false;

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    const heads = COLUMNS.map((name) => element("th", { scope: "col", role: "columnheader", class: name }, t(`column.${name}`)));
    this.place = element("div", { class: "card flush" },
      element("div", { class: "bar" },
        element("label", { class: "check-all" }, this.#all, element("span", { "aria-hidden": "true" }, t("rejects.choose-all"))),
        this.#replay, this.#said),
      element("table", { class: "list rejects", role: "table", "aria-labelledby": "rejects-title" },
        element("thead", { role: "rowgroup" }, element("tr", { role: "row" },
          element("th", { scope: "col", role: "columnheader", class: "choose" }, element("span", { class: "unseen" }, t("column.choose"))),
          ...heads)),
        this.#body));
    this.#count();
  }

  /** @param {RejectLine[]} lines */
  append(lines) {
    this.#body.append(...lines.map((line) => this.#row(line)));
    this.#count();
  }

  /** @param {RejectLine} line */
  #row(line) {
    const box = /** @type {HTMLInputElement} */ (element("input", {
      type: "checkbox", "aria-label": t("rejects.choose", { id: String(line.id) }), onchange: () => this.#count(),
      disabled: line.discarded_at !== null,
    }));
    const outcome = element("span", { class: "outcome" }, standing(line));
    this.#rows.set(line.id, { box, outcome });
    return element("tr", { role: "row", "data-id": line.id },
      element("td", { role: "cell", class: "choose" }, box),
      cell("kind", element("a", { href: address("rejects", line.id) }, element("span", { class: "badge" }, t(`kind.${line.kind}`)))),
      cell("reason", foreign(maskedText(line.reason), { lang: "en", class: "value" }),
        element("span", { class: "ids" }, `#${line.id}`, line.size === null ? "" : ` · ${size(line.size)}`)),
      cell("place", foreign(line.topic, { class: "mono" }), element("span", { class: "ids" },
        t("rejects.place", { partition: String(line.partition), position: number(line.position) }))),
      cell("received", element("time", { datetime: line.received_at, title: moment(line.received_at) }, shortMoment(line.received_at))),
      cell("outcome", outcome));
  }

  #chooseAll() {
    for (const { box } of this.#rows.values()) box.checked = this.#all.checked && !box.disabled;
    this.#count();
  }

  #chosen() {
    return [...this.#rows].filter(([, { box }]) => box.checked).map(([id]) => id);
  }

  #count() {
    const count = this.#chosen().length;
    this.#all.checked = count > 0 && count === [...this.#rows.values()].filter(({ box }) => !box.disabled).length;
    this.#all.indeterminate = count > 0 && !this.#all.checked;
    this.#replay.disabled = count === 0 || this.#isReplaying;
    this.#replay.textContent = count ? t("rejects.replay", { count }) : t("rejects.replay-none");
  }

  // One after the other: the service makes one replay at a time, and refuses more than a few that wait.
  async #replayChosen() {
    const ids = this.#chosen();
    this.#isReplaying = true;
    this.#count();
    let done = 0;
    for (const id of ids) {
      say(this.#said, t("rejects.replaying", { done, count: ids.length }));
      const row = this.#rows.get(id);
      const outcome = await replayed(id);
      if (this.signal.aborted || !row) return;
      fill(row.outcome, element("span", { class: "tag", "data-level": outcome.level, title: outcome.detail }, outcome.words));
      row.box.checked = false;
      done += 1;
      if (outcome.isRefused) break;
    }
    this.#isReplaying = false;
    this.#count();
    say(this.#said, t("rejects.replayed", { count: done }));
  }
}

/** How it stands after the latest replay. @param {RejectLine} line */
function standing(line) {
  if (line.discarded_at !== null) return t("rejects.discarded");
  return line.replayed === null ? "–" : t(`replay.${line.replayed}`);
}

/** @param {string} name @param {...any} content */
function cell(name, ...content) {
  return element("td", { role: "cell", class: name, "data-label": t(`column.${name}`) }, ...content);
}
