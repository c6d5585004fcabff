/** One rejected message, whole: the reason in words, where it came from, what it holds and where that is wrong. */

import { copyButton, downloadButton } from "../base/clipboard.js";
import { button, element, fill, foreign } from "../base/dom.js";
import { moment, number, size } from "../base/format.js";
import { t } from "../base/language.js";
import { maskedText } from "../base/mask.js";
import { address, orderAddress } from "../base/route.js";
import { fetchReject } from "../service/api.js";
import { Problem } from "../service/exchange.js";
import { attempt, failureCard } from "../shell/attempt.js";
import { definitions } from "../orders/fields.js";
import { differenceView } from "./difference.js";
import { bytesOf, payloadView } from "./payload.js";
import { outcomeView, replayed } from "./replay.js";

/** @typedef {import("../service/api.js").Reject} Reject */

/** @param {import("../app.js").Page} page */
export async function showReject(page) {
  const id = page.route.name ?? "";
  page.title(t("reject.title", { id }));
  if (!/^[1-9]\d{0,15}$/.test(id)) return fill(page.place, missing(id));
  const reject = await attempt((signal) => fetchReject(id, signal), page.signal, (error, passes) => {
    const isMissing = error instanceof Problem && error.status === 404;
    fill(page.place, isMissing ? missing(id) : failureCard(error, passes, () => showReject(page)));
  });
  if (reject === null) return undefined;
  page.say(t("reject.said", { id, kind: t(`kind.${reject.kind}`) }));
  return fill(page.place, rejectView(reject));
}

/** @param {string} id */
function missing(id) {
  return element("section", { class: "card answer" }, element("h1", {}, t("reject.none")), foreign(id, { class: "quoted" }, "p"), back());
}

function back() {
  return element("a", { class: "back", href: address("rejects") }, t("reject.back"));
}

/** @param {Reject} reject */
function rejectView(reject) {
  const content = element("div", { class: "stack" });
  const draw = (/** @type {boolean} */ isMasked) => fill(content, ...parts(reject, isMasked));
  draw(true);
  return element("article", { class: "reject", "aria-labelledby": "reject-title" }, back(), heading(reject, draw), content);
}

/** @param {Reject} reject @param {(isMasked: boolean) => void} draw */
function heading(reject, draw) {
  const outcome = element("div", {});
  const again = button(t("reject.replay"), async () => {
    again.disabled = true;
    fill(outcome, outcomeView(await replayed(reject.id), reject.order_uid ?? uidIn(reject)));
    again.disabled = false;
  }, { disabled: reject.discarded_at !== null });
  const unmask = button(t("reject.unmask"), () => {
    const isMasked = unmask.getAttribute("aria-pressed") === "true";
    unmask.setAttribute("aria-pressed", String(!isMasked));
    draw(isMasked);
  }, { class: "quiet", "aria-pressed": "false" });
  return element("header", { class: "card reject-head" },
    element("div", { class: "order-line" },
      element("p", { class: "eyebrow" }, t("reject.title", { id: String(reject.id) })),
      element("div", { class: "buttons" }, unmask, again)),
    element("h1", { id: "reject-title" }, t(`kind.${reject.kind}`)),
    element("p", { class: "meaning" }, t(`means.${reject.kind}`)),
    foreign(maskedText(reject.reason), { class: "quoted", lang: "en" }, "p"),
    element("p", { class: "muted" }, t(`advice.${reject.kind}`)),
    reject.replayed && outcomeView({ words: t(`replay.${reject.replayed}`), level: reject.replayed === "stored" ? "green" : "yellow", detail: "", isRefused: false }, reject.order_uid),
    outcome);
}

/** @param {Reject} reject @param {boolean} isMasked */
function parts(reject, isMasked) {
  const isConflict = reject.kind === "conflict" && reject.stored_text !== null && reject.text !== null;
  return [
    isConflict && card(t("difference.title"), differenceView(reject, isMasked)),
    card(t("payload.title"), element("div", { class: "buttons" }, ...keepers(reject)), payloadView(reject, isMasked)),
    card(t("reject.message"), facts(reject, isMasked)),
  ];
}

/** @param {Reject} reject */
function keepers(reject) {
  const name = `reject-${reject.id}`;
  const { text, base64 } = reject;
  if (text) return [copyButton(t("payload.copy"), () => text), downloadButton(t("payload.download"), `${name}.txt`, () => text, "application/octet-stream")];
  return base64 ? [downloadButton(t("payload.download"), `${name}.bin`, () => bytesOf(base64), "application/octet-stream")] : [];
}

/** @param {Reject} reject @param {boolean} isMasked */
function facts(reject, isMasked) {
  const shown = (/** @type {string} */ text) => (isMasked ? maskedText(text) : text);
  /** @type {[string, any][]} */
  const pairs = [
    [t("column.received"), moment(reject.received_at)],
    [t("reject.topic"), reject.topic],
    [t("reject.partition"), String(reject.partition)],
    [t("reject.position"), number(reject.position)],
    [t("reject.size"), reject.size === null ? undefined : size(reject.size)],
    [t("reject.key"), reject.key === null ? undefined : shown(contentOf(reject.key))],
    [t("field.order_uid"), reject.order_uid === null ? undefined
      : element("a", { class: "mono", href: orderAddress(reject.order_uid) }, reject.order_uid)],
    ["SHA-256", element("span", { class: "mono" }, reject.sha256)],
    [t("reject.incarnation"), reject.incarnation],
    ...reject.headers.map(({ name, value }) => /** @type {[string, any]} */ (
      [t("reject.header", { name: contentOf(name) }), value === null ? undefined : shown(contentOf(value))])),
  ];
  return definitions(pairs, { class: "facts" });
}

/** @param {import("../service/api.js").Content} content */
function contentOf(content) {
  return content.text ?? `base64: ${content.base64 ?? ""}`;
}

/** The uid that a message names, when it can be read. @param {Reject} reject */
function uidIn(reject) {
  try {
    const uid = JSON.parse(reject.text ?? "").order_uid;
    return typeof uid === "string" ? uid : null;
  } catch {
    return null;
  }
}

/** @param {string} title @param {...any} content */
function card(title, ...content) {
  return element("section", { class: "card" }, element("h2", {}, title), ...content);
}
