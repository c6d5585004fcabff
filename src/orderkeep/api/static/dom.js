/**
 * Elements from data. Whatever comes from an order enters the page here, and only as text nodes and
 * attribute values: there is no way through this module for it to be read as markup.
 */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} attributes  null, undefined and false leave the attribute out
 * @param {...(Node|string|number|null|undefined)} children  strings become text nodes
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text that somebody else wrote: its direction is its own and does not touch what stands beside it. */
export function foreign(text, attributes = {}, tag = "span") {
  return element(tag, { dir: "auto", ...attributes }, text);
}
