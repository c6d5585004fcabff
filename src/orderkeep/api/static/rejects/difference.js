/** A conflict: the order that is stored, and the one that was kept aside, side by side. */

import { button, element, fill } from "../base/dom.js";
import { t } from "../base/language.js";
import { isPersonal, maskedText } from "../base/mask.js";
import { sideBySide } from "../json/difference.js";
import { layOut } from "../json/text.js";

const CONTEXT = 3;

/** @param {import("../service/api.js").Reject} reject @param {boolean} isMasked */
export function differenceView(reject, isMasked) {
  return element("div", { class: "difference" }, fields(reject.differences, isMasked), lines(reject, isMasked));
}

/** @param {import("../service/api.js").Reject["differences"]} differences @param {boolean} isMasked */
function fields(differences, isMasked) {
  if (differences.length === 0) return element("p", { class: "muted" }, t("difference.none"));
  const value = (/** @type {string} */ path, /** @type {string|null} */ text) => {
    if (text === null) return element("span", { class: "none" }, t("difference.absent"));
    const shown = isMasked && isPersonal(path) ? "•".repeat(Math.min(24, text.length)) : isMasked ? maskedText(text) : text;
    return element("span", { class: "value mono", dir: "auto" }, shown);
  };
  const rows = differences.map(({ path, stored, rejected }) => element("tr", {},
    element("th", { scope: "row", class: "mono" }, path),
    element("td", { "data-label": t("difference.stored") }, value(path, stored)),
    element("td", { "data-label": t("difference.rejected") }, value(path, rejected))));
  const heads = ["difference.field", "difference.stored", "difference.rejected"];
  return element("table", { class: "list differences" },
    element("thead", {}, element("tr", {}, ...heads.map((key) => element("th", { scope: "col" }, t(key))))),
    element("tbody", {}, ...rows));
}

/** @param {import("../service/api.js").Reject} reject @param {boolean} isMasked */
function lines(reject, isMasked) {
  const [stored, rejected] = [reject.stored_text, reject.text].map((text) => laidOut(text ?? "", isMasked));
  const place = element("div", { class: "sides", tabindex: "0", role: "region", "aria-label": t("difference.lines") });
  const rows = sideBySide(stored, rejected);
  const draw = (/** @type {boolean} */ isWhole) => fill(place, element("table", {},
    element("thead", {}, element("tr", {},
      ...["difference.stored", "difference.rejected"].map((key) => element("th", { scope: "col" }, t(key))))),
    element("tbody", {}, ...drawn(rows, isWhole))));
  const isSame = rows.every(({ kind }) => kind === "same");
  place.hidden = isSame;
  if (!isSame) draw(false);
  const all = button(t("difference.whole"), () => { place.hidden = false; draw(true); all.remove(); }, { class: "quiet" });
  return element("div", {}, place, element("div", { class: "more" }, all));
}

/** @param {import("../json/difference.js").Row[]} rows @param {boolean} isWhole */
function drawn(rows, isWhole) {
  const isNear = rows.map((_, at) => rows.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ kind }) => kind !== "same"));
  /** @type {HTMLElement[]} */
  const made = [];
  rows.forEach(({ kind, left, right }, at) => {
    if (isWhole || isNear[at]) made.push(element("tr", { "data-kind": kind }, side(left, kind), side(right, kind)));
    else if (at === 0 || isNear[at - 1]) made.push(element("tr", { class: "gap" }, element("td", { colspan: 2 }, "⋯")));
  });
  return made;
}

/** @param {string|null} line @param {string} kind */
function side(line, kind) {
  if (line === null) return element("td", { class: "void" });
  if (kind === "same") return element("td", { dir: "ltr" }, line);
  const indent = line.length - line.trimStart().length;
  const tag = kind === "left" ? "del" : kind === "right" ? "ins" : "mark";
  return element("td", { dir: "ltr" }, line.slice(0, indent), element(tag, {}, line.slice(indent)));
}

/** @param {string} text @param {boolean} isMasked */
function laidOut(text, isMasked) {
  const found = layOut(text) ?? text.split("\n");
  return isMasked ? found.map(maskedText) : found;
}
