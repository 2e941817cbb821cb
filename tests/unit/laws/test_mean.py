"""`mean` predicts the training mean."""

import numpy as np

from mixlaw.laws.mean import Mean

LAW = Mean(("chat", "math"), "anything")


def test_the_start_is_the_mean_and_every_mixture_has_it():
    tokens = np.array([[1.0, 2.0], [0.0, 7.0], [3.0, 3.0]])
    starts = LAW.starts(tokens, np.array([1.0, 2.0, 6.0]), 5)
    assert starts.tolist() == [[3.0]]
    assert LAW.predict(starts[0], tokens).tolist() == [3.0, 3.0, 3.0]
    assert not LAW.gradient(starts[0], tokens).any()
