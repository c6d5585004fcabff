/** The text of a JSON document: where in it a value stands, and the same values laid out in lines. */

/**
 * @typedef {{start: number, end: number, fields?: Field[], items?: Node[]}} Node  a value and its place
 * @typedef {{name: string, written: string, start: number, value: Node}} Field  `written` is the name as it
 *   stands in the text, from `start` on
 */

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\]|\\.)*"/ys;
const SCALAR = /"(?:[^"\\]|\\.)*"|[-+.\w]+/ys;
const STEP = /\.([^.[\]]+)|\[(\d+)\]/g;

/**
 * The values of a text with their places, or null when it is no JSON that can be walked through.
 * @param {string} text
 * @returns {Node|null}
 */
export function read(text) {
  const reader = new Reader(text);
  try {
    const root = reader.value();
    return reader.isAtEnd() ? root : null;
  } catch {
    return null; // no JSON, or nested deeper than the browser's stack
  }
}

/**
 * The value that a path such as `$.items[0].price` names, as far as the path can be followed.
 * @param {Node} root
 * @param {string} path
 */
export function follow(root, path) {
  let node = root;
  for (const [, name, index] of path.matchAll(STEP)) {
    const next = name === undefined
      ? node.items?.[Number(index)]
      : node.fields?.find((field) => field.name === name)?.value;
    if (!next) break;
    node = next;
  }
  return node;
}

/**
 * The document in lines, two spaces deeper at each level; names and values are left as they are written.
 * @param {string} text
 * @returns {string[]|null}  null when it is no JSON
 */
export function layOut(text) {
  const root = read(text);
  return root && lines(text, root, "", "", "");
}

/**
 * @param {string} text @param {Node} node @param {string} indent @param {string} before @param {string} after
 * @returns {string[]}
 */
function lines(text, node, indent, before, after) {
  const parts = node.fields ?? node.items;
  if (!parts?.length) return [indent + before + text.slice(node.start, node.end) + after];
  const [open, close] = node.fields ? "{}" : "[]";
  const inner = parts.flatMap((part, at) => {
    const comma = at < parts.length - 1 ? "," : "";
    if ("value" in part) return lines(text, part.value, `${indent}  `, `${part.written}: `, comma);
    return lines(text, part, `${indent}  `, "", comma);
  });
  return [indent + before + open, ...inner, indent + close + after];
}

class Reader {
  #at = 0;

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  /** @returns {Node} */
  value() {
    this.#take(SPACE);
    const start = this.#at;
    const first = this.text[start];
    if (first === "{") return { start, ...this.#list("}", () => this.#field(), "fields"), end: this.#at };
    if (first === "[") return { start, ...this.#list("]", () => this.value(), "items"), end: this.#at };
    if (this.#take(SCALAR) === "") throw new SyntaxError("no value");
    return { start, end: this.#at };
  }

  isAtEnd() {
    this.#take(SPACE);
    return this.#at === this.text.length;
  }

  /** @returns {Field} */
  #field() {
    this.#take(SPACE);
    const start = this.#at;
    const written = this.#take(STRING);
    this.#expect(":");
    return { name: JSON.parse(written), written, start, value: this.value() };
  }

  /** @param {string} close @param {() => any} part @param {string} name */
  #list(close, part, name) {
    this.#at += 1;
    const parts = [];
    this.#take(SPACE);
    if (this.text[this.#at] !== close) {
      do parts.push(part()); while (this.#has(","));
    }
    this.#expect(close);
    return { [name]: parts };
  }

  /** @param {string} character */
  #has(character) {
    this.#take(SPACE);
    if (this.text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  /** @param {string} character */
  #expect(character) {
    if (!this.#has(character)) throw new SyntaxError(`no ${character}`);
  }

  /** @param {RegExp} pattern */
  #take(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }
}
