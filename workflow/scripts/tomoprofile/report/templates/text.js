/* Copies texts, and opens for the printer, and for links into them, what is folded away. */
(() => {
  const plain = (text) => {
    const parts = [...text.querySelectorAll("p")].map((part) => part.textContent.trim());
    const references = [...text.querySelectorAll("li")].map((part, i) => `[${i + 1}] ${part.textContent.trim()}`);
    return [...parts, references.join("\n")].join("\n\n") + "\n";
  };
  // Where the clipboard is closed to scripts, a selection can still be copied.
  const bySelection = (words) => {
    const box = document.createElement("textarea");
    box.value = words;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  };
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      const words = plain(document.getElementById(button.dataset.copies));
      let done;
      try {
        await navigator.clipboard.writeText(words);
        done = true;
      } catch {
        done = bySelection(words);
      }
      const told = button.parentElement.querySelector("[data-copied]");
      told.hidden = !done;
      if (done) setTimeout(() => { told.hidden = true; }, 4000);
    });
  }
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const part of closed) part.open = true;
  });
  window.addEventListener("afterprint", () => { for (const part of closed) part.open = false; });
  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    const folded = target?.nextElementSibling;
    if (folded?.matches("details")) folded.open = true;
  };
  window.addEventListener("hashchange", openTarget);
  openTarget();
})();
