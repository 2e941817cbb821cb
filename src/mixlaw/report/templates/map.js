/* The map of the objective: a triangle of three domains (of more: two of them and the rest), or a curve over one share.

   Corner A is the first domain of the pair, B the second, C all others in their present proportions. Of more than three
   domains only the corner around the mixtures of interest is drawn, up to a share `most` of A and B together. */
mixlaw.map = (figure, { data, state, objective, choose, make, percent, TOTAL }) => {
  const K = data.domains.length;
  const LEVELS = [0.001, 0.003, 0.01, 0.03, 0.1]; // above the lowest, relative
  const WIDTH = 460, HEIGHT = 420, LEFT = 46, RIGHT = 414, TOP = 34, BOTTOM = 352;
  const WORK = 500_000;

  const draw = (name, attributes = {}, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const svg = draw("svg", { class: "figure", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": "explorer-map-title" });
  const layers = Object.fromEntries(["cells", "lines", "runs", "marks", "here"].map((name) => [name, draw("g", { class: name })]));
  svg.append(...Object.values(layers));
  figure.append(svg);
  const text = (words, x, y, style = "tick", anchor = "middle") => draw("text", { x, y, class: style, "text-anchor": anchor }, words);
  const shortened = (name) => (name.length > 20 ? `${name.slice(0, 19)}…` : name);

  /* Which two domains the map shows: those whose halving and doubling changes the objective most. */
  function pair() {
    if (K <= 3) return [0, 1];
    const best = data.mixtures[0].weights;
    const effect = best.map((share, i) => {
      const half = objective(shift(best, i, share / 2), data.budget, 8);
      const twice = objective(shift(best, i, Math.min(2 * share + 0.01, 1)), data.budget, 8);
      return half + twice - 2 * objective(best, data.budget, 8);
    });
    return effect.map((_, i) => i).sort((a, b) => effect[b] - effect[a]).slice(0, 2);
  }
  const shift = (weights, i, share) => {
    const rest = 1 - weights[i];
    return weights.map((w, k) => (k === i ? share : rest > 1e-9 ? w * (1 - share) / rest : (1 - share) / (K - 1)));
  };

  let [A, B] = pair();
  // A multiple of a fifth, so that the ticks are whole percentages.
  const extent = () => (K <= 3 ? 1 : Math.min(1, Math.max(0.2,
    Math.ceil(7 * Math.max(...data.mixtures.map((m) => m.weights[A] + m.weights[B]))) / 5)));
  let most = extent();
  const weightsAt = (a, b) => {
    const rest = state.weights.map((w, k) => (k === A || k === B ? 0 : w)), others = mixlaw.sum(rest);
    const spread = rest.map((w, k) => (k === A || k === B ? 0 : (1 - a - b) * (others > 1e-9 ? w / others : 1 / (K - 2))));
    spread[A] = a;
    spread[B] = b;
    return spread;
  };
  const at = (a, b) => {
    const c = 1 - (a + b) / most;
    return [LEFT + (RIGHT - LEFT) * (b / most + c / 2), BOTTOM - (BOTTOM - TOP) * c];
  };
  const inside = (weights) => weights[A] + weights[B] <= most * 1.001;

  /* ---- the triangle ---- */
  const N = K <= 6 ? 34 : 24;
  const corners = [];
  let triangles = [];
  const fills = Array.from({ length: LEVELS.length + 1 }, (_, k) => draw("path", { class: `level-${k}` }));
  layers.cells.append(...fills);
  function build() {
    corners.length = 0;
    triangles = [];
    const index = new Map();
    for (let p = 0; p <= N; p++) for (let q = 0; p + q <= N; q++) {
      index.set(p * (N + 1) + q, corners.length);
      corners.push([most * p / N, most * q / N]);
    }
    const add = (...places) => triangles.push(places.map(([p, q]) => index.get(p * (N + 1) + q)));
    for (let p = 0; p < N; p++) for (let q = 0; p + q < N; q++) {
      add([p, q], [p + 1, q], [p, q + 1]);
      if (p + q < N - 1) add([p + 1, q], [p + 1, q + 1], [p, q + 1]);
    }
    frame();
  }
  /* The part of a triangle where the value, linear between its corners, is at least `edge`. */
  function above(points, values, edge) {
    const kept = [];
    for (let i = 0; i < 3; i++) {
      const [p, q, v, w] = [points[i], points[(i + 1) % 3], values[i], values[(i + 1) % 3]];
      if (v >= edge) kept.push(p);
      if ((v >= edge) !== (w >= edge)) {
        const t = (edge - v) / (w - v);
        kept.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])]);
      }
    }
    return kept;
  }
  function frame() {
    const name = (k) => shortened(data.domains[k].name), share = (f) => Math.round(100 * f * most * 10) / 10;
    const lines = [];
    for (const f of [0.25, 0.5, 0.75]) {
      const a = f * most;
      for (const [from, to] of [[at(a, 0), at(a, most - a)], [at(0, a), at(most - a, a)], [at(most - a, 0), at(0, most - a)]]) {
        lines.push(draw("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: "mesh" }));
      }
      const [ax, ay] = at(a, 0), [bx, by] = at(most - a, a), [cx, cy] = at(0, most - a);
      lines.push(text(share(f), ax - 8, ay + 2, "tick", "end"), text(share(f), bx, by + 20), text(Math.round(1000 * (1 - (1 - f) * most)) / 10, cx + 8, cy + 2, "tick", "start"));
    }
    const third = K === 3 ? name([0, 1, 2].find((k) => k !== A && k !== B)) : "the others";
    const full = K === 3 ? "100 %" : `${share(1)} %`;
    lines.push(text(`${name(A)} ${full}`, 2, BOTTOM + 40, "name", "start"), text(`${name(B)} ${full}`, WIDTH - 2, BOTTOM + 40, "name", "end"),
      text(`${third} 100 %`, (LEFT + RIGHT) / 2, TOP - 14, "name"));
    layers.lines.replaceChildren(...lines);
  }
  function paint() {
    const draws = Math.max(1, Math.floor(WORK / (corners.length * data.targets.length * K)));
    const values = corners.map(([a, b]) => objective(weightsAt(a, b), state.budget, draws));
    const best = Math.min(...values);
    const places = corners.map(([a, b]) => at(a, b));
    fills.forEach((path, k) => {
      const edge = k ? best * (1 + LEVELS[k - 1]) : -Infinity;
      path.setAttribute("d", triangles.map((three) => {
        const part = above(three.map((i) => places[i]), three.map((i) => values[i]), edge);
        return part.length ? `M${part.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}Z` : "";
      }).join(""));
    });
    const low = corners[values.indexOf(best)];
    title.textContent = `${TOTAL[0].toUpperCase() + TOTAL.slice(1)} over the mixture, lowest near ${percent(low[0], 0)} ${data.domains[A].name} and ${percent(low[1], 0)} ${data.domains[B].name}`;
  }

  /* ---- two domains: a curve ---- */
  function curve() {
    const shares = Array.from({ length: 101 }, (_, i) => i / 100);
    const values = shares.map((a) => objective(shift(state.weights, A, a), state.budget));
    const best = Math.min(...values), shown = values.filter((v) => v < best * 1.5), high = Math.max(...shown);
    const x = (a) => LEFT + (RIGHT - LEFT) * a, y = (v) => BOTTOM - (BOTTOM - TOP) * Math.min((v - best) / (high - best || 1), 1) * 0.94 - 8;
    const line = shares.map((a, i) => `${x(a).toFixed(1)},${y(values[i]).toFixed(1)}`).join("L");
    layers.cells.replaceChildren(draw("path", { d: `M${line}`, class: "curve mix-recommended" }));
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((a) => text(100 * a, x(a), BOTTOM + 18));
    layers.lines.replaceChildren(draw("line", { x1: LEFT, x2: RIGHT, y1: BOTTOM, y2: BOTTOM, class: "axis" }), ...ticks,
      text(`share of ${shortened(data.domains[A].name)}, %`, RIGHT, BOTTOM + 38, "axis-title", "end"),
      text(`${TOTAL}, ${data.total_unit}`, 0, 14, "axis-title", "start"), text(best.toFixed(3), LEFT - 6, y(best) + 4, "tick", "end"), text(high.toFixed(3), LEFT - 6, y(high) + 4, "tick", "end"));
    title.textContent = `${TOTAL[0].toUpperCase() + TOTAL.slice(1)} over the share of ${data.domains[A].name}`;
    return (weights) => [x(weights[A]), y(objective(weights, state.budget))];
  }

  /* ---- marks ---- */
  const title = document.getElementById("explorer-map-title");
  let place = (weights) => at(weights[A], weights[B]);
  function marks() {
    layers.runs.replaceChildren(...data.runs.filter((run) => K === 2 || inside(run.weights)).map((run) => {
      const [cx, cy] = place(run.weights);
      const tip = `${run.name}: ${run.tokens} tokens; ${percent(run.weights[A], 0)} ${data.domains[A].name}, ${percent(run.weights[B], 0)} ${data.domains[B].name}`;
      return draw("circle", { cx, cy, r: 3, class: "run", "data-tip": tip });
    }));
    const shown = data.mixtures.filter((m) => K === 2 || inside(m.weights)).map((m) => [m, ...place(m.weights)]);
    const taken = [];
    layers.marks.replaceChildren(...shown.flatMap(([mixture, x, y]) => {
      const d = { optimum: "M0,-7l7,7l-7,7l-7,-7Z", natural: "M0,-7l7,12h-14Z" }[mixture.name] || "M-5.5,-5.5h11v11h-11Z";
      // A label goes where no other is: right of its mark, else left, above or below it.
      const spots = [[15, 4, "start"], [-15, 4, "end"], [0, -16, "middle"], [0, 24, "middle"]];
      const [dx, dy, anchor] = spots.find(([dx, dy]) => !taken.some(([tx, ty]) => Math.abs(tx - x - 3 * dx) < 56 && Math.abs(ty - y - dy) < 15)) || spots[0];
      taken.push([x + 3 * dx, y + dy]);
      return [draw("path", { d, transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, class: "mixture" }),
        text(mixture.name, x + dx, y + dy, "mark-name", anchor)];
    }));
  }
  function here() {
    layers.here.replaceChildren();
    if (K > 2 && !inside(state.weights)) return;
    const [cx, cy] = place(state.weights);
    layers.here.append(draw("circle", { cx, cy, r: 10, class: "here-halo" }), draw("circle", { cx, cy, r: 10, class: "here" }));
  }

  /* ---- choosing the pair, and pointing ---- */
  if (K > 3) {
    const picks = document.getElementById("explorer-pair");
    picks.hidden = false;
    const selects = [A, B].map((chosen, which) => {
      const select = make("select", { "aria-label": which ? "Second domain of the map" : "First domain of the map" });
      data.domains.forEach(({ name }, k) => select.append(make("option", { value: k }, name)));
      select.value = chosen;
      picks.append(select);
      return select;
    });
    selects.forEach((select, which) => select.addEventListener("change", () => {
      if (selects[0].value === selects[1].value) selects[1 - which].value = which ? A : B;
      [A, B] = selects.map((s) => Number(s.value));
      most = extent();
      build();
      drawn = "";
      update();
    }));
  }
  function point(event) {
    const matrix = svg.getScreenCTM();
    if (!matrix) return;
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const along = (x - LEFT) / (RIGHT - LEFT);
    if (K === 2) { choose(shift(state.weights, A, Math.min(Math.max(along, 0), 1))); return; }
    const c = Math.min(Math.max((BOTTOM - y) / (BOTTOM - TOP), 0), 1);
    const b = Math.min(Math.max(along - c / 2, 0), 1 - c);
    choose(weightsAt(most * (1 - b - c), most * b));
  }
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); point(event); });
  svg.addEventListener("pointermove", (event) => { if (svg.hasPointerCapture(event.pointerId)) point(event); });

  let drawn = "", timer = 0;
  function redraw() {
    if (K === 2) place = curve(); else paint();
    marks();
    here();
  }
  function update() {
    const rest = K > 3 ? state.weights.map((w, k) => (k === A || k === B ? 0 : w)) : [];
    const others = mixlaw.sum(rest) || 1;
    const wanted = [state.budget, ...rest.map((w) => (w / others).toFixed(4))].join();
    here();
    if (wanted === drawn) return;
    clearTimeout(timer);
    timer = setTimeout(redraw, drawn ? 60 : 0);
    drawn = wanted;
  }
  if (K > 2) build();
  return { update };
};
