"use strict";
/* The laws of src/mixlaw/laws in JavaScript, and other laws as tables: what `Fit.predict` says of a mixture, from
   the data in the page.

   A law is (theta, N, own) -> nats: theta its parameters in the order of the Python law, N the tokens of every domain in
   millions, own the place of the target's domain or -1. Every line has its twin in Python; a test compares them in the
   browser, mean and band, to 1e-9. */
const mixlaw = (() => {
  const FLOOR = 1e-6; // added to every share
  const ONE_TOKEN = 1e-6; // in millions
  const BAND = [0.05, 0.95];

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  /* D = N_j + k R^alpha, L = C D^-beta + E */
  function transfer([C, k, alpha, beta, E], N, own) {
    const total = sum(N);
    const mine = N[own] + FLOOR * total;
    const others = Math.max(total - N[own], 0) + FLOOR * total;
    const worth = others > 0 ? k * Math.pow(Math.max(others, 1e-300), alpha) : 0;
    return C * Math.pow(Math.max(mine + worth, ONE_TOKEN), -beta) + E;
  }

  /* D = (n0^a + sum t_i N_i^(a + e_i))^(1/a), L = C D^-beta prod (1 + N_i / D)^h_i + E; t = 1, e = h = 0 for the own */
  function pairwise(theta, N, own) {
    const [C, n0, a, beta, E] = theta;
    const n = N.length - (own >= 0 ? 1 : 0);
    const place = (i) => (own >= 0 && i > own ? i - 1 : i);
    let Q = Math.pow(n0, a);
    for (let i = 0; i < N.length; i++) {
      if (N[i] <= 0) continue;
      const [t, e] = i === own ? [1, 0] : [theta[5 + place(i)], theta[5 + n + place(i)]];
      Q += t * Math.exp((a + e) * Math.log(N[i]));
    }
    const logD = Math.log(Math.max(Q, 1e-300)) / a;
    const shrink = Math.exp(-logD);
    let interference = 0;
    for (let i = 0; i < N.length; i++) {
      if (i !== own) interference += theta[5 + 2 * n + place(i)] * Math.log1p(N[i] * shrink);
    }
    return C * Math.exp(Math.min(-beta * logD + interference, 600)) + E;
  }

  /* L = c + exp(sum t_i w_i) */
  function exponential(theta, N) {
    const total = sum(N);
    let power = 0;
    for (let i = 0; i < N.length; i++) power += theta[1 + i] * (N[i] / total);
    return theta[0] + Math.exp(power);
  }

  /* L = E + C (N_eq + N_j)^-b */
  function autoscale([E, C, equivalent, b], N, own) {
    return E + C * Math.pow(equivalent + N[own] + FLOOR * sum(N), -b);
  }

  /* L = w_j^-a (B S^-b + C) */
  function bivariate([a, B, b, C], N, own) {
    const total = sum(N);
    return Math.pow(N[own] / total + FLOOR, -a) * (B * Math.pow(total, -b) + C);
  }

  /* L = E + 1 / sum C_i w_i^g + B D^-b, the coefficient B a function of the shares in the joint form */
  function additiveWith(coefficient) {
    return (theta, N) => {
      const total = sum(N), K = N.length;
      const shares = N.map((tokens) => tokens / total + FLOOR);
      let terms = 0;
      for (let i = 0; i < K; i++) terms += theta[1 + i] * Math.pow(shares[i], theta[K + 1]);
      return theta[0] + 1 / terms + coefficient(theta, shares) * Math.pow(total, -theta[theta.length - 1]);
    };
  }
  const additive = additiveWith((theta, shares) => theta[shares.length + 2]);
  const additive_joint = additiveWith((theta, shares) => {
    const K = shares.length, p = theta[2 * K + 2];
    const B = shares.map((_, i) => Math.max(theta[K + 2 + i], 1e-300));
    const top = Math.max(...B);
    return top * Math.pow(sum(shares.map((share, i) => share * Math.exp(Math.log(B[i] / top) / p))), p);
  });

  /* L = E + B D^-b */
  const chinchilla = ([E, B, b], N) => E + B * Math.pow(sum(N), -b);
  const rectified = ([E, B, D_t, b], N) => E + B / (D_t + Math.pow(sum(N), b));
  const mean = ([value]) => value;

  const laws = {
    transfer, pairwise, exponential, autoscale, bivariate, additive, additive_joint, chinchilla, rectified, mean,
  };

  /* Tokens beyond the first epoch, in fresh ones: N' = U + U R* (1 - exp(-(N / U - 1) / R*)) */
  function counted(N, unique, decay) {
    if (decay === null || !unique) return N;
    return N.map((tokens, i) => {
      if (unique[i] === null) return tokens;
      const first = Math.min(tokens, unique[i]);
      const repeats = first > 0 ? tokens / first - 1 : 0;
      return first * (1 + decay * -Math.expm1(-repeats / decay));
    });
  }

  /* The quantile of sorted values, linear between them (NumPy's default). */
  function quantile(sorted, q) {
    const at = q * (sorted.length - 1), low = Math.floor(at);
    return low + 1 < sorted.length ? sorted[low] + (sorted[low + 1] - sorted[low]) * (at - low) : sorted[low];
  }

  /* The 90 % band of a value in every draw, with its mean, which the band always holds. */
  function band(mean, draws) {
    const sorted = Float64Array.from(draws).sort();
    return { mean, low: Math.min(quantile(sorted, BAND[0]), mean), high: Math.max(quantile(sorted, BAND[1]), mean) };
  }

  /* A target's draws of one law among n, whose first is the i-th of all draws: `loss(s, N, distance)` in nats. */
  function member(data, { own, draws, normals: drawn, bend: [tokens, tried, further], whole, counts }, i) {
    const law = laws[data.laws[i]], n = data.laws.length, normals = drawn[i];
    const rows = Array.from({ length: counts[i] }, (_, s) => draws[i].map((c) => (Array.isArray(c) ? c[s] : c)));
    /* Every draw's parameters at a distance beyond the largest run: amplitudes move, and with the floors the
       whole loss, each draw by a normal a third of the draws before its own (src/mixlaw/fit/posterior/extrapolation.py). */
    let taken = rows, near = { distance: 0, rows };
    const take = (order) => {
      taken = order ? order.map((s) => rows[s]) : rows;
      near = { distance: 0, rows: taken };
    };
    const rowsAt = (distance) => {
      if (distance !== near.distance) {
        const within = Math.min(distance, tried);
        const bend = Math.sqrt((tokens * within) ** 2 + further ** 2 * (distance ** 2 - within ** 2));
        const around = (values) => values.map((value) => value * values.length / sum(values));
        const factors = around(normals.map((z) => Math.exp(z * bend)));
        const count = normals.length, before = count - Math.floor(count / 3), drift = whole * Math.sqrt(distance);
        const wholes = around(normals.map((_, s) => Math.exp(normals[(s + before) % count] * drift)));
        near = { distance, rows: taken.map((theta, s) => {
          const moved = theta.slice();
          const at = i + n * s;
          for (const p of data.beyond.amplitudes[i]) moved[p] *= factors[at] * wholes[at];
          for (const p of data.beyond.floors[i]) moved[p] *= wholes[at];
          return moved;
        }) };
      }
      return near.rows;
    };
    return { count: counts[i], own, law, rows, take, loss: (s, N, distance) => law(rowsAt(distance)[s], N, own) };
  }

  /* Beyond the runs draws are taken again, since domains gain alike: target -> law -> the places of its draws, or null
     for all as they are (src/mixlaw/fit/alike.py). `members` are the laws of every target. */
  function gainingAlike(data, members, x) {
    const { tau, worth, rounds, near, change, least, fewest } = data.alike, K = data.domains.length;
    const orders = members.map((laws) => laws.map(() => null));
    const total = (data.beyond.largest * Math.exp(x)) / data.unit;
    if (!(x > 0)) return orders;
    const own = members.map((_, j) => j).filter((j) => data.targets[j].own >= 0 && !data.targets[j].metric
      && sum(members[j].map((one) => one.count)) > 1);
    const shares = (own, by) => {
      const parts = Array.from({ length: K }, (_, i) => (i === own ? Math.exp(by) : 1)), whole = sum(parts);
      return parts.map((part) => part / whole);
    };
    const gains = new Map(own.map((j) => [j, members[j].map(({ law, rows, own }) => {
      const less = shares(own, -change), more = shares(own, change), by = Math.log(more[own] / less[own]);
      const [low, high] = [less, more].map((row) => row.map((share) => share * total));
      return rows.map((theta) => (law(theta, low, own) - law(theta, high, own)) / by);
    })]));
    const places = own.filter((j) => gains.get(j).flat().every(Number.isFinite));
    if (places.length < 2) return orders;
    const floor = least * quantile(Float64Array.from(places.flatMap((j) => gains.get(j).flat())).sort(), 0.5);
    if (!(floor > 0)) return orders;
    const logs = new Map(places.map((j) => [j, gains.get(j).map((part) => part.map((g) => Math.log(Math.max(g, floor))))]));
    const told = new Map(places.map((j) => {
      const all = logs.get(j).flat(), mean = sum(all) / all.length;
      return [j, { mean, variance: sum(all.map((value) => (value - mean) ** 2)) / all.length }];
    }));
    const each = [...told.values()];
    let tau2 = tau ** 2;
    for (let round = 0; round < rounds; round++) {
      const trust = each.map(({ variance }) => 1 / (variance + tau2));
      const middle = sum(each.map(({ mean }, j) => trust[j] * mean)) / sum(trust);
      const squares = each.map(({ mean, variance }, j) => (tau2 * trust[j] * (mean - middle)) ** 2 + tau2 * trust[j] * variance);
      tau2 = (worth * tau ** 2 + sum(squares)) / (worth + each.length);
    }
    for (const one of each) one.trust = 1 / (one.variance + tau2);
    const reach = 1 - Math.exp(-((x / near) ** 2));
    for (const j of places) {
      const others = places.filter((other) => other !== j).map((other) => told.get(other));
      const known = sum(others.map(({ trust }) => trust));
      const mean = sum(others.map((other) => other.trust * other.mean)) / known;
      orders[j] = logs.get(j).map((part) => chosenBy(part.map((value) => value - mean), (tau2 + 1 / known) / reach, fewest));
    }
    return orders;
  }

  /* The places of draws, evenly by their weights under a normal, in ascending order. */
  function chosenBy(off, variance, fewest) {
    let weights;
    for (;; variance *= 2) {
      const logs = off.map((value) => (-0.5 * value ** 2) / variance), top = Math.max(...logs);
      const raw = logs.map((value) => Math.exp(value - top)), whole = sum(raw);
      weights = raw.map((value) => value / whole);
      if (1 / sum(weights.map((value) => value ** 2)) >= Math.min(fewest, off.length / 2)) break;
    }
    let at = 0, sofar = weights[0];
    return off.map((_, s) => {
      while (sofar < (s + 0.5) / off.length && at < off.length - 1) sofar += weights[++at];
      return at;
    });
  }

  /* A law that is not above comes as a table, interpolated between samples (src/mixlaw/report/sampled.py):
     (tokens, chosen) -> (J)(S) nats, `chosen` the draws that are wanted among all. */
  function table({ centres, log, parts, scores }) {
    return (tokens, chosen) => {
      const total = sum(tokens);
      const x = [...tokens.map((count) => Math.sqrt(count / total)), log * Math.log(total)];
      const cubes = centres.map((centre) => {
        let squares = 0;
        for (let k = 0; k < x.length; k++) squares += (x[k] - centre[k]) ** 2;
        return Math.pow(squares, 1.5);
      });
      const basis = [...cubes, 1, ...x];
      const along = (row, values) => row.reduce((sofar, value, q) => sofar + value * values[q], 0);
      return parts.map((part, j) => {
        const [mean, ...components] = part.map((row) => along(row, basis));
        return chosen(scores[j]).map((score) => mean + along(score, components));
      });
    };
  }

  /* The laws above in their draws, likewise. */
  function computed(data) {
    const unique = data.unique && data.unique.map((tokens) => (tokens === null ? null : tokens / data.unit));
    const members = data.targets.map((target) => data.laws.map((_, i) => member(data, target, i)));
    const targets = members.map((laws) => laws.flatMap((one) =>
      Array.from({ length: one.count }, (_, s) => (N, distance) => one.loss(s, N, distance))));
    let at = 0;
    return (tokens, chosen) => {
      const distance = Math.log(Math.max(sum(tokens) / data.beyond.largest, 1));
      const step = Math.round(distance / data.alike.step);
      if (step !== at) {
        const orders = gainingAlike(data, members, step * data.alike.step);
        members.forEach((laws, j) => laws.forEach((one, i) => one.take(orders[j][i])));
        at = step;
      }
      const N = counted(tokens.map((count) => count / data.unit), unique, data.decay);
      return targets.map((members) => chosen(members).map((member) => member(N, distance)));
    };
  }

  /* Returns the model of the page's data, with `losses(tokens, draws)` -> {mean: (J), draws: (J)(S)}. */
  function model(data) {
    const answer = data.table ? table(data.table) : computed(data);
    // Evenly chosen draws where fewer are wanted: neighbours in a chain are alike.
    const choices = new Map();
    function chosen(members, count) {
      const size = Math.min(count, members.length);
      if (!choices.has(size)) {
        choices.set(size, Array.from({ length: size }, (_, i) => Math.floor((i * members.length) / size)));
      }
      return choices.get(size).map((s) => members[s]);
    }
    function losses(tokens, draws = Infinity) {
      const drawn = answer(tokens, (members) => chosen(members, draws)).map((losses, j) => {
        const { ceiling } = data.targets[j];
        return losses.map((loss) => (Number.isNaN(loss) ? ceiling : Math.min(Math.max(loss, 0), ceiling)));
      });
      return { mean: drawn.map((values) => sum(values) / values.length), draws: drawn };
    }
    const predict = (tokens) => {
      const { mean, draws } = losses(tokens);
      return mean.map((loss, j) => band(loss, draws[j]));
    };
    return { losses, predict };
  }

  return { laws, model, band, quantile, sum };
})();
