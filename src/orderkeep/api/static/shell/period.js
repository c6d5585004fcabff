/** A choice of a time: an age such as the last hour, or from and to. */

import { element, field } from "../base/dom.js";
import { t } from "../base/language.js";

const AGES = ["1h", "24h", "7d", "30d"];

/** @typedef {{since: string|null, until: string|null}} Period  as the service takes it: an age, or ISO 8601 */

/**
 * @param {URLSearchParams} query  `since` and `until` of the address
 * @returns {Period}
 */
export function periodOf(query) {
  return { since: query.get("since"), until: query.get("until") };
}

/**
 * Fields that show the period, and tell when it is another one.
 * @param {Period} period
 * @param {(period: Period) => void} change
 */
export function periodFields(period, change) {
  const isCustom = period.until !== null || (period.since !== null && !AGES.includes(period.since));
  const options = [["", t("period.any")], ...AGES.map((age) => [age, t(`period.${age}`)]), ["custom", t("period.custom")]];
  const chosen = isCustom ? "custom" : period.since ?? "";
  const select = /** @type {HTMLSelectElement} */ (element("select", { onchange: () => pick() },
    ...options.map(([value, label]) => element("option", { value, selected: value === chosen }, label))));
  const since = moment(t("period.since"), isCustom ? period.since : null, () => tell());
  const until = moment(t("period.until"), isCustom ? period.until : null, () => tell());
  const range = element("div", { class: "range", hidden: !isCustom }, since.place, until.place);
  const tell = () => change({ since: since.value(), until: until.value() });
  const pick = () => {
    range.hidden = select.value !== "custom";
    if (select.value === "custom") since.input.focus();
    else change({ since: select.value || null, until: null });
  };
  return [field(t("period.title"), select), range];
}

/** @param {string} title @param {string|null} value @param {() => void} change */
function moment(title, value, change) {
  const input = /** @type {HTMLInputElement} */ (element("input", {
    type: "datetime-local", step: "1", value: local(value), onchange: change,
  }));
  return {
    input,
    place: field(title, input),
    value: () => (input.value === "" ? null : new Date(input.value).toISOString()),
  };
}

/** The moment as the field wants it: in the reader's zone, without naming it. @param {string|null} text */
function local(text) {
  const date = new Date(text ?? "");
  if (Number.isNaN(date.getTime())) return null;
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}
