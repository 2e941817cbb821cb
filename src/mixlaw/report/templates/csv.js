(() => {
  /* Tables as CSV. Of the runs the file is the run table itself, in full precision, which mixlaw reads again. */
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  /* A spreadsheet would run a text that begins like a formula. */
  const safe = (text) => (/^[=+\-@\t\r]/.test(text) && !/^[-+]?[\d.,]+(e[-+]?\d+)?( %)?$/i.test(text) ? `'${text}` : text);
  const plain = (text) => safe(text.replace(/\u202f/g, "").replace(/\u2212/g, "-").replace(/\u00a0/g, " ").replace(/^–$/, "").trim());
  const written = (rows) => `${rows.map((row) => row.map((cell) => quoted(String(cell))).join(",")).join("\n")}\n`;
  const shown = (table) => {
    const lines = [...table.rows].map((row) => [...row.cells].map((cell) => {
      const note = cell.querySelector("small"), text = plain(cell.textContent.slice(0, cell.textContent.length - (note ? note.textContent.length : 0)));
      return [text, note ? plain(note.textContent) : ""];
    }));
    const noted = lines[0].map((_, i) => lines.some((line) => line[i] && line[i][1]));
    return lines.map((line, n) => line.flatMap(([text, note], i) => (noted[i] ? [text, n ? note : `${text}, note`] : [text])));
  };
  const exact = () => {
    const { runs } = JSON.parse(document.getElementById("report-data").textContent);
    if (!runs || !runs.length) return null;
    const cell = (value) => (value === null ? "" : typeof value === "string" ? safe(value) : value);
    return [Object.keys(runs[0]), ...runs.map((run) => Object.values(run).map(cell))];
  };
  for (const button of document.querySelectorAll("button[data-csv]")) {
    button.hidden = false;
    button.setAttribute("aria-label", `Download as CSV: ${button.dataset.csv}`);
    button.addEventListener("click", () => {
      const table = button.parentElement.previousElementSibling.querySelector("table"), section = button.closest("section").id;
      const text = written((section === "runs" && exact()) || shown(table));
      const link = document.createElement("a"), order = [...button.closest("section").querySelectorAll("button[data-csv]")].indexOf(button);
      link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      link.download = `${section}${order ? `-${order + 1}` : ""}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
})();
