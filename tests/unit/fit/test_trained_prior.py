"""What the law believes of a model that is fine-tuned, where short runs say little of a target."""

import numpy as np
import pytest

import mixlaw

DOMAINS = ("easy", "hard")
BUDGET = 400_000


def true_loss(tokens_K, target):
    """Return a loss that falls by a third (easy) or by a twelfth (hard) until the budget, nats."""
    own, other = tokens_K[target], tokens_K[1 - target]
    known, beta, height = ((3e3, 0.2, 3.0), (3e4, 0.2, 2.2))[target]
    return 1.2 + 1.3 * target + height * ((known + own + 0.05 * other) / known) ** -beta


def runs_of(seed, with_base):
    """Return run tables of eight short runs whose hard target falls by less than their noise lets see."""
    rng = np.random.default_rng(seed)
    amounts = [tuple(np.exp(rng.uniform(np.log(500), np.log(4500), 2)).round()) for _ in range(8)]
    amounts += [(0.0, 0.0)] * with_base
    tokens = np.array(amounts)
    losses = np.array([[true_loss(row, t) for t in (0, 1)] for row in tokens]) + rng.normal(0, 0.03, (len(tokens), 2))
    columns = {f"tokens:{d}": tokens[:, i] for i, d in enumerate(DOMAINS)}
    columns |= {f"loss:{d}": losses[:, i] for i, d in enumerate(DOMAINS)}
    return {"run": [f"r{i}" for i in range(len(tokens))], "seed": [0] * len(tokens), **columns}


@pytest.mark.parametrize("seed", range(4))
def test_a_loss_that_short_runs_hardly_lower_is_not_taken_for_its_floor(seed):
    import pandas as pd

    fit = mixlaw.fit(pd.DataFrame(runs_of(seed, with_base=True)), law="pairwise")
    asked = np.array([BUDGET / 2, BUDGET / 2])
    said = fit.predict(dict(zip(DOMAINS, asked, strict=True))).of_mixture()["hard"]
    assert said["low"] < true_loss(asked, 1) < said["high"]
    assert said["mean"] < true_loss(np.zeros(2), 1) - 0.1
    assert mixlaw.solve(fit, BUDGET).weights["hard"] > 0.1


def test_what_other_domains_are_worth_is_believed_to_fade_where_a_trained_model_begins():
    import pandas as pd

    powers = {}
    for with_base in (True, False):
        targets = mixlaw.fit(pd.DataFrame(runs_of(0, with_base)), law="pairwise").targets
        powers[with_base] = [targets[d].parameters[f"e[{other}]"] for d, other in (DOMAINS, DOMAINS[::-1])]
    assert max(powers[True]) < -0.1 < min(powers[False])
