// Runs before anything is drawn, so that a reader in the dark is not dazzled by a page that is still light.
// A classic script: a module would come after the first paint.
try {
  const theme = localStorage.getItem("orderkeep.theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme it is.
}
