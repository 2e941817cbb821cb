(() => {
  "use strict";
  const root = document.documentElement;

  const toggle = document.getElementById("theme");
  const isDark = () =>
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const show = () => {
    toggle.setAttribute("aria-pressed", String(isDark()));
    toggle.querySelector("span").textContent = isDark() ? "☾" : "☀";
  };
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("mixlaw-theme", root.dataset.theme); } catch (error) { /* storage may be off */ }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();

  const tip = document.getElementById("tip");
  const place = (event) => {
    const mark = event.target.closest && event.target.closest("[data-tip]");
    if (!mark) { tip.hidden = true; return; }
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 8 ? box.bottom + 8 : above}px`;
  };
  document.addEventListener("pointerover", place);
  document.addEventListener("pointerdown", place);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  document.addEventListener("click", (event) => {
    const mark = event.target.closest && event.target.closest("[data-row]");
    if (mark) location.hash = mark.dataset.row;
  });

  const copied = document.getElementById("copied");
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      let done = true;
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch (error) {
        const range = document.createRange();
        range.selectNodeContents(source);
        const selection = getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      copied.textContent = done ? "Copied to the clipboard." : "The text is selected.";
      setTimeout(() => { button.textContent = "Copy"; copied.textContent = ""; }, 2000);
    });
  }
})();
