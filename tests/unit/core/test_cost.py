"""What runs cost: by kind, with evaluations, as a share of the final run; and limits as people write them."""

from dataclasses import replace

import pytest

from mixlaw.core.cost import MostCost, Prices, percent
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import RunSpec


def spec(tokens: int) -> RunSpec:
    return RunSpec("run", {"math": tokens}, 0)


def test_a_run_as_large_as_the_budget_costs_the_final_run_and_its_evaluation() -> None:
    prices = Prices(20_000_000, evaluation_tokens=300_000, parameters=1_000)
    assert prices.training(20_000_000).share == 1.0
    assert prices.final.flop == 6 * 1_000 * 20_000_000
    # An evaluation is a third of training on as many tokens.
    assert prices.evaluation().share == pytest.approx(300_000 / 3 / 20_000_000)
    assert prices.run(2_000_000).share == pytest.approx(0.1 + 0.005)
    assert prices.runs([spec(2_000_000), spec(1_000_000)]).share == pytest.approx(0.15 + 0.01)
    assert prices.runs([]).share == 0
    along = replace(spec(2_000_000), points=(0.25, 0.5, 1.0))
    assert prices.runs([along]).share == pytest.approx(0.1 + 3 * 0.005)


def test_the_kind_of_a_run_decides_what_its_training_costs() -> None:
    prices = Prices(1_000_000)
    shares = {kind: prices.training(100_000, kind).share for kind in ("full", "lora", "merged", "point")}
    assert shares == pytest.approx({"full": 0.1, "lora": 0.1 * 4 / 6, "merged": 0.0, "point": 0.0})
    # LoRA runs for a final run with LoRA cost as much as full ones for a full one.
    assert Prices(1_000_000, kind="lora", final_kind="lora").training(100_000).share == pytest.approx(0.1)


def test_a_smaller_model_is_cheaper_by_its_size() -> None:
    prices = Prices(1_000_000, evaluation_tokens=30_000, parameters=100, final_parameters=1_000)
    same = Prices(1_000_000, evaluation_tokens=30_000, parameters=1_000)
    assert prices.run(50_000).share == pytest.approx(same.run(50_000).share / 10)
    assert prices.final.flop == same.final.flop
    assert prices.tokens_for(0.1) == pytest.approx(1_000_000)
    assert prices.evaluation_as_tokens == same.evaluation_as_tokens == 10_000


def test_operations_are_unknown_where_the_size_is() -> None:
    prices = Prices(1_000_000)
    assert prices.run(1).flop is None and prices.final.flop is None
    assert MostCost(1e18, "flop").share(prices) is None
    assert prices.run(50_000).to_json() == {"share_of_final_run": 0.05, "flop": None}


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("10%", "share", 0.1),
        (" 7.5 % ", "share", 0.075),
        ("2M tokens", "tokens", 2e6),
        ("1e6tokens", "tokens", 1e6),
        ("2e18 FLOPs", "flop", 2e18),
    ],
)
def test_limits_are_read_as_people_write_them(text, unit, amount) -> None:
    limit = MostCost.parse(text)
    assert (limit.unit, limit.amount) == (unit, pytest.approx(amount))
    assert MostCost.parse(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "ten", "10", "-1%", "0%", "20000%", "3h", "x tokens", "1.2.3%"])
def test_other_limits_are_refused(text) -> None:
    with pytest.raises(ConfigError, match="max_cost is"):
        MostCost.parse(text)


def test_a_limit_is_a_share_of_the_final_run_where_that_can_be_said() -> None:
    prices = Prices(10_000_000, parameters=1_000)
    shares = [MostCost.parse(text).share(prices) for text in ("10%", "1M tokens", "6e9 FLOPs")]
    assert shares == pytest.approx([0.1, 0.1, 0.1])


def test_percents_keep_two_digits() -> None:
    assert [percent(share) for share in (6.14, 0.098, 0.00051)] == ["614 %", "9.8 %", "0.051 %"]
