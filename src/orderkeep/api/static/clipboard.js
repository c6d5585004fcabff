/** Copying to the clipboard, exactly and from any address the page is served under. */

import { element } from "./dom.js";

const SAID_FOR_MS = 2000;

/** A button that copies what `read()` returns and says on itself whether it could. */
export function copyButton(label, read) {
  const button = element("button", { type: "button", class: "quiet" }, label);
  let timer;
  button.addEventListener("click", async () => {
    const copied = await copy(read());
    button.textContent = copied ? "Copied" : "Could not copy";
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = label; }, SAID_FOR_MS);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByCommand(text);
  }
}

// navigator.clipboard is missing on plain http other than loopback. Answering the copy event, rather than
// selecting a field, keeps line ends as they are.
function copyByCommand(text) {
  const answer = (event) => {
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", answer, { once: true });
  const copied = document.execCommand("copy");
  document.removeEventListener("copy", answer);
  return copied;
}
