(() => {
  let stored = null;
  try { stored = localStorage.getItem("mixlaw-theme"); } catch (error) { stored = null; }
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
})();
