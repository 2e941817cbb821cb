/* The explorer: a slider a weight and one for the budget; the law answers in the page. Names only ever become text. */
(() => {
  const host = document.getElementById("explorer-host");
  const source = document.getElementById("explorer-data");
  if (!host || !source) return;
  const data = JSON.parse(source.textContent);
  const model = mixlaw.model(data);
  const K = data.domains.length;
  const reference = data.mixtures.find((m) => m.name !== "optimum") || data.mixtures[0];
  const importance = data.targets.map((target) => target.importance);
  const counted = importance.map((g, j) => (g > 0 ? j : -1)).filter((j) => j >= 0);
  const equallyWeighted = new Set(counted.map((j) => importance[j])).size <= 1;
  const TOTAL = data.objective === "max" ? "largest loss"
    : counted.length === 1 ? `${data.targets[counted[0]].name} loss` : equallyWeighted ? "total loss" : "weighted loss";

  const state = { weights: [...data.mixtures[0].weights], ratios: [...data.mixtures[0].weights], budget: data.budget };

  /* ---- words ---- */
  const minus = (text) => text.replace("-", "−");
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;
  const signed = (share, digits) => {
    const text = (100 * share).toFixed(digits);
    return Number(text) === 0 ? (0).toFixed(digits) : minus(share > 0 ? `+${text}` : text);
  };
  const shown = (value) => value.toFixed(4);
  const tokens = (count) => {
    for (const [unit, size] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
      if (count >= size * 0.9995) return Number((count / size).toPrecision(3)) + unit;
    }
    return String(Number(count.toPrecision(3)));
  };
  const digitsOf = (...shares) => (Math.max(...shares.map(Math.abs)) >= 0.01 ? 1 : 2);

  /* ---- elements ---- */
  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };

  /* ---- the law's answers ---- */
  const tokensOf = (weights, budget) => weights.map((share) => share * budget);
  const overall = (losses) => (data.objective === "max" ? Math.max(...counted.map((j) => losses[j]))
    : counted.reduce((total, j) => total + importance[j] * losses[j], 0));
  function evaluate(weights, budget) {
    const { mean, draws } = model.losses(tokensOf(weights, budget));
    const drawn = draws[0].map((_, s) => overall(draws.map((column) => column[s])));
    return { mean, draws, total: overall(mean), drawn };
  }
  const change = (mean, base, drawn, baseDrawn) =>
    mixlaw.band(mean / base - 1, drawn.map((value, s) => value / baseDrawn[s] - 1));
  /* What the solver minimises: the expected loss over the draws, of which every few are enough for a map. */
  function objective(weights, budget, draws) {
    return overall(model.losses(tokensOf(weights, budget), draws).mean);
  }

  /* Whole parts of `total` in proportion to the weights; the largest remainders take what is left. */
  function apportion(weights, total) {
    const exact = weights.map((share) => share * total), parts = exact.map(Math.floor);
    const order = exact.map((value, i) => [parts[i] - value, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    for (let left = Math.round(total - mixlaw.sum(parts)), i = 0; left > 0; left--, i++) parts[order[i % K][1]] += 1;
    return parts;
  }

  /* One weight moves, the others give way in the proportions they had before the hand took hold. */
  function move(i, share) {
    const rest = state.ratios.map((value, k) => (k === i ? 0 : value));
    const others = mixlaw.sum(rest);
    state.weights = rest.map((value) => (1 - share) * (others > 1e-9 ? value / others : 1 / (K - 1)));
    state.weights[i] = share;
  }
  function settle() {
    // A weight at 100 % forgets nothing: the others keep the proportions to come back to.
    const left = 1 - Math.max(...state.weights);
    if (left > 1e-9) state.ratios = [...state.weights];
  }
  function choose(weights, budget = state.budget) {
    state.weights = [...weights];
    state.ratios = [...weights];
    state.budget = budget;
    refresh();
  }

  /* ---- controls ---- */
  const presets = host.querySelector(".presets");
  const buttons = data.mixtures.map((mixture) => {
    const name = mixture.name[0].toUpperCase() + mixture.name.slice(1);
    const button = make("button", { type: "button", "data-mixture": mixture.name }, name);
    button.addEventListener("click", () => choose(mixture.weights, mixture.budget || state.budget));
    presets.append(button);
    return { button, mixture };
  });
  if (data.path.length > 1) {
    const group = host.querySelector(".path-presets");
    group.hidden = false;
    for (const step of data.path) {
      const label = `Best weights at ${step.text} tokens`;
      const button = make("button", { type: "button", "aria-label": label, "data-budget": step.budget }, step.text);
      button.addEventListener("click", () => choose(step.weights, step.budget));
      group.append(button);
      buttons.push({ button, mixture: step });
    }
  }

  const STEPS = 1000;
  const [lowest, highest] = data.budgets;
  const budgetOf = (place) => lowest * Math.pow(highest / lowest, place / STEPS);
  const budgetSlider = document.getElementById("explorer-budget");
  budgetSlider.max = STEPS;
  budgetSlider.addEventListener("input", () => {
    state.budget = Math.round(budgetOf(Number(budgetSlider.value)));
    refresh();
  });

  const sliders = data.domains.map(({ name, series }, i) => {
    const id = `explorer-weight-${i}`;
    const input = make("input", { type: "range", id, min: 0, max: 100, step: 0.1, class: series });
    const value = make("output", { for: id, class: "value" });
    const detail = make("small");
    input.addEventListener("input", () => { move(i, Number(input.value) / 100); refresh(); });
    input.addEventListener("change", settle);
    host.querySelector(".sliders").append(make("div", { class: "slider" },
      make("label", { for: id }, make("span", { class: `swatch ${series}`, "aria-hidden": "true" }), name),
      value, input, detail));
    return { input, value, detail };
  });

  /* ---- predicted losses ---- */
  const body = host.querySelector("tbody");
  const rows = data.targets.map((target, j) => {
    const reach = data.mixtures.map((mixture) => evaluate(mixture.weights, data.budget))
      .map((found) => mixlaw.band(found.mean[j], found.draws[j]));
    const [low, high] = [Math.min(...reach.map((b) => b.low)), Math.max(...reach.map((b) => b.high))];
    const room = 0.4 * (high - low) || 0.01;
    const cells = { loss: make("td", { class: "num" }), change: make("td", { class: "num" }) };
    const parts = { band: make("i", { class: "span" }), tick: make("i", { class: "tick" }), dot: make("i", { class: "dot" }) };
    const track = make("td", { class: "track", "aria-hidden": "true" }, make("div", {}, parts.band, parts.tick, parts.dot));
    body.append(make("tr", { "data-target": target.name }, make("th", { scope: "row" }, target.name), cells.loss, track, cells.change));
    const place = (value) => `${Math.min(Math.max(100 * (value - low + room) / (high - low + 2 * room), 0), 100)}%`;
    return { ...cells, ...parts, place };
  });

  const said = (c, name) => {
    const digits = digitsOf(c.mean, c.low, c.high);
    const size = (share) => Math.abs(100 * share).toFixed(digits);
    if (Math.abs(c.mean) < 5e-7 && c.high - c.low < 1e-6) return `the same as ${name}`;
    const side = c.mean < 0 ? "below" : "above";
    if (c.high - c.low < 1e-12) return `${size(c.mean)}\u00a0% ${side} ${name}`;
    if (c.low * c.high > 0) {
      const [near, far] = [c.low, c.high].map(Math.abs).sort((a, b) => a - b);
      return `${size(c.mean)}\u00a0% (${size(near)} to ${size(far)}) ${side} ${name}`;
    }
    return `${size(c.mean)}\u00a0% ${side} ${name}, but the runs allow anything from ${signed(c.low, digits)} to ${signed(c.high, digits)}\u00a0%`;
  };

  function showLosses() {
    const here = evaluate(state.weights, state.budget), base = evaluate(reference.weights, state.budget);
    rows.forEach((row, j) => {
      const band = mixlaw.band(here.mean[j], here.draws[j]);
      row.loss.replaceChildren(shown(band.mean), make("small", {}, `${shown(band.low)} to ${shown(band.high)}`));
      row.band.style.left = row.place(band.low);
      row.band.style.right = `calc(100% - ${row.place(band.high)})`;
      row.dot.style.left = row.place(band.mean);
      row.tick.style.left = row.place(base.mean[j]);
      const c = change(here.mean[j], base.mean[j], here.draws[j], base.draws[j]);
      const digits = digitsOf(c.mean, c.low, c.high);
      row.change.replaceChildren(`${signed(c.mean, digits)}\u00a0%`,
        make("small", {}, c.high - c.low > 1e-12 ? `${signed(c.low, digits)} to ${signed(c.high, digits)}\u00a0%` : ""));
    });
    const total = mixlaw.band(here.total, here.drawn);
    const against = said(change(here.total, base.total, here.drawn, base.drawn), `the ${reference.name} mixture`);
    document.getElementById("explorer-total").textContent = shown(total.mean);
    document.getElementById("explorer-total-band").textContent = `${shown(total.low)} to ${shown(total.high)}`;
    document.getElementById("explorer-against").textContent = against;
    return `${TOTAL[0].toUpperCase() + TOTAL.slice(1)} ${shown(total.mean)} ${data.total_unit}, ${against}.`;
  }

  function showControls() {
    const shares = apportion(state.weights, 1000);
    sliders.forEach(({ input, value, detail }, i) => {
      const count = state.weights[i] * state.budget;
      if (document.activeElement !== input || Math.abs(Number(input.value) / 100 - state.weights[i]) > 6e-4) {
        input.value = 100 * state.weights[i];
      }
      input.style.setProperty("--at", `${100 * state.weights[i]}%`);
      value.textContent = percent(shares[i] / 1000);
      const supply = data.unique && data.unique[i];
      const passes = supply ? count / supply : null, most = data.max_epochs || 4;
      const epochs = passes === null ? "" : ` · ${passes.toFixed(2)} epochs${passes > most ? `, more than ${most}` : ""}`;
      detail.textContent = `${tokens(count)} tokens${epochs}`;
      detail.classList.toggle("over", passes !== null && passes > most * 1.0005);
      input.setAttribute("aria-valuetext", `${value.textContent}, ${detail.textContent}`);
    });
    budgetSlider.value = STEPS * Math.log(state.budget / lowest) / Math.log(highest / lowest);
    budgetSlider.style.setProperty("--at", `${budgetSlider.value / STEPS * 100}%`);
    const times = state.budget / data.largest_run;
    document.getElementById("explorer-budget-value").textContent = `${tokens(state.budget)} tokens`;
    const far = document.getElementById("explorer-far");
    const below = state.budget < 0.99 * data.smallest_run;
    far.textContent = below ? "smaller than any run" : times > 1.005 ? `${Number(times.toPrecision(2))} times the largest run${times > 10 ? ": far outside what was measured" : ""}` : "within the range of the runs";
    far.classList.toggle("over", times > 10);
    budgetSlider.setAttribute("aria-valuetext", `${tokens(state.budget)} tokens, ${far.textContent}`);
    for (const { button, mixture } of buttons) {
      const same = mixture.weights.every((share, i) => Math.abs(share - state.weights[i]) < 1e-9);
      button.setAttribute("aria-pressed", String(same && (!mixture.budget || mixture.budget === state.budget)));
    }
  }

  /* ---- YAML ---- */
  const reserved = /^(true|false|null|yes|no|on|off|y|n)$/i;
  const key = (name) => (/^[A-Za-z_][\w-]*$/.test(name) && !reserved.test(name) ? name : JSON.stringify(name));
  function yaml(sentence) {
    const shares = apportion(state.weights, 10000), counts = apportion(state.weights, state.budget);
    const block = (values) => data.domains.map(({ name }, i) => `  ${key(name)}: ${values[i]}`).join("\n");
    return [`# ${sentence.replace(/\s+/g, " ").replace(/\.$/, "")}`, `budget: ${state.budget}`,
      "weights:", block(shares.map((share) => (share / 10000).toFixed(4))), "tokens:", block(counts)].join("\n");
  }

  let waiting = 0, spoken = 0;
  function refresh() {
    if (waiting) return;
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      showControls();
      const sentence = showLosses();
      document.getElementById("explorer-yaml").textContent = yaml(sentence);
      if (map) map.update();
      clearTimeout(spoken);
      spoken = setTimeout(() => { document.getElementById("explorer-status").textContent = sentence; }, 700);
    });
  }

  host.hidden = false;
  document.getElementById("explorer-what").textContent = TOTAL;
  const map = mixlaw.map(host.querySelector(".map"), { data, state, objective, choose, make, percent, TOTAL });
  refresh();
})();
