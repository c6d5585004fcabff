/** Putting rejects through the pipeline again, and saying what became of each. */

import { element } from "../base/dom.js";
import { t } from "../base/language.js";
import { orderAddress } from "../base/route.js";
import { replay } from "../service/api.js";
import { Problem, failure } from "../service/exchange.js";
import { wordsFor } from "../shell/attempt.js";

/** @typedef {{words: string, level: string, detail: string, isRefused: boolean}} Outcome */

const LEVELS = { stored: "green", duplicate: "green", redelivered: "green", begun: "yellow" };

/**
 * What became of a reject, in words. It never throws: what goes wrong is an outcome too.
 * @param {number} id
 * @returns {Promise<Outcome>}
 */
export async function replayed(id) {
  try {
    const { outcome, detail } = await replay(id);
    return { words: t(`replay.${outcome}`), level: levelOf(outcome), detail, isRefused: false };
  } catch (error) {
    const failed = failure(error);
    const isRefused = failed instanceof Problem && [401, 403].includes(failed.status);
    const words = isRefused ? t("replay.not-allowed") : wordsFor(failed);
    return { words, level: "red", detail: failed instanceof Problem ? failed.detail : "", isRefused };
  }
}

/** @param {string} outcome */
function levelOf(outcome) {
  return /** @type {Record<string, string>} */ (LEVELS)[outcome] ?? "red";
}

/** @param {Outcome} outcome @param {string|null} uid  of the order that it is now, if it has one */
export function outcomeView({ words, level, detail }, uid = null) {
  return element("div", { class: "check", "data-level": level, role: "status" },
    element("p", {}, words, " ",
      level === "green" && uid && element("a", { href: orderAddress(uid) }, t("replay.order"))),
    detail && element("p", { class: "muted", lang: "en", dir: "auto" }, detail));
}
