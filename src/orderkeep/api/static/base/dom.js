/**
 * Elements from data. Whatever comes from an order or a message enters the page here, and only as text nodes
 * and attribute values: there is no way through this module for it to be read as markup.
 */

/** @typedef {Node|string|number|null|undefined|false} Child */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} attributes  null, undefined and false leave the attribute out; a function
 *   under a name such as `onclick` listens to that event
 * @param {...(Child|Child[])} children  strings become text nodes; null, undefined and false are left out
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.slice(2), /** @type {any} */ (value));
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  add(made, children.flat());
  return made;
}

/**
 * Text that somebody else wrote: its direction is its own and does not touch what stands beside it.
 * @param {string} text
 * @param {Record<string, unknown>} attributes
 */
export function foreign(text, attributes = {}, tag = "span") {
  return element(tag, { dir: "auto", ...attributes }, text);
}

/**
 * A button that only acts on this page.
 * @param {Child|Child[]} label
 * @param {(event: Event) => unknown} act
 * @param {Record<string, unknown>} attributes
 */
export function button(label, act, attributes = {}) {
  return /** @type {HTMLButtonElement} */ (
    element("button", { type: "button", onclick: act, ...attributes }, label)
  );
}

let fields = 0;

/**
 * A field with its label above it.
 * @param {string} label
 * @param {HTMLElement} control
 */
export function field(label, control) {
  fields += 1;
  control.id = `field-${fields}`;
  return element("div", { class: "field" }, element("label", { for: control.id }, label), control);
}

/** @param {Element} place @param {...(Child|Child[])} children */
export function fill(place, ...children) {
  const fragment = document.createDocumentFragment();
  add(fragment, children.flat());
  place.replaceChildren(fragment);
}

/** The element of the page with this id. @param {string} id */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Writes only what differs: a live region repeats whatever is written into it.
 * @param {Node} place
 * @param {string} text
 */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// One by one: there may be more of them than a call takes arguments.
/** @param {ParentNode} place @param {Child[]} children */
function add(place, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    place.append(child instanceof Node ? child : String(child));
  }
}
