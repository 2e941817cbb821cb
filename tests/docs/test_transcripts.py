"""What counts as the same output."""

import pytest

from docs.transcripts import Step, difference, steps


def test_commands_their_lines_and_their_here_documents_are_found():
    text = "```console\n$ one --a  # why\nout 1\n$ python - <<'X'\n> print(2)\n> X\n2\n```\n\n```text\n$ no\n```\n"
    assert steps(text) == [Step("one --a", ["out 1"]), Step("python - <<'X'\nprint(2)\nX", ["2"])]


SOLVED = """\
Best mixture at 240k tokens
domain  weight  tokens  epochs  nats per further million  90 % interval  % of the objective
math    31.0 %   74.4k  0.1299                     2.485     2.1 to 2.9                  25
code    35.4 %   84.9k  0.1903                     2.485       2 to 2.9                  25
Predicted loss, nats per supervised token
target   best  equal
math    2.978  2.981
code    2.839  2.850
Trust
what                                    value
expected regret, nats                   0.0030 (95th percentile 0.0115)
probability of being better than equal  64 %
largest KKT residual                    3.7e-16
proof                                   stationary
budget / largest run                    1.2
wrote    mixture: mixtures/240k-6333c806
next     mixlaw mix mix.yaml --budget 240k --weights math=0.3753,code=0.3"""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("31.0 %   74.4k  0.1299", "33.0 %   79.2k  0.138"),
        ("2.1 to 2.9 ", "2 to 3.3 "),
        ("2.978  2.981", "2.950  2.961"),
        ("0.0030 (95th percentile 0.0115)", "0.0061 (95th percentile 0.0253)"),
        ("64 %", "52 %"),
        ("3.7e-16", "1.7e-11"),
        ("240k-6333c806", "240k-d4fbcf4a"),
        ("math=0.3753,code=0.3", "math=0.3550,code=0.3203"),
    ],
)
def test_what_rests_on_draws_may_differ_as_between_seeds(shown, printed):
    assert shown in SOLVED
    assert difference(SOLVED.splitlines(), SOLVED.replace(shown, printed)) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("31.0 %", "35.4 %"),
        ("74.4k", "744k"),
        ("2.1 to 2.9 ", "21 to 29 "),
        ("2.978", "2.639"),
        ("0.0030 (", "0.0300 ("),
        ("percentile 0.0115", "percentile 0.115"),
        ("95th", "90th"),
        ("90 % interval", "80 % interval"),
        ("64 %", "36 %"),
        ("3.7e-16", "3.7e-6"),
        ("budget / largest run                    1.2", "budget / largest run                    1.3"),
        ("stationary", "convex"),
        ("at 240k tokens", "at 241k tokens"),
        ("--budget 240k", "--budget 241k"),
        ("math=0.3753,code=0.3", "math=0.3,code=0.3753"),
        ("math    2.978  2.981\n", ""),
        ("code    2.839  2.850\n", "code    2.839  2.850\nlaw     2.839  2.850\n"),
        ("math    31.0 %", "code    31.0 %"),
    ],
)
def test_a_swap_another_order_of_magnitude_and_another_line_are_seen(shown, printed):
    assert shown in SOLVED
    assert difference(SOLVED.splitlines(), SOLVED.replace(shown, printed, 1))


RUNS = ["13 runs, 1.47M training tokens", "run  math  total  state", "base  30k  90k  done"]


def test_what_rests_on_no_draws_is_exact():
    assert difference(RUNS, "\n".join(RUNS)) == ""
    for old, new in [("13 runs", "14 runs"), ("30k", "30.1k"), ("90k", "91k")]:
        assert difference(RUNS, "\n".join(RUNS).replace(old, new))


def test_errors_of_laws_may_differ_by_2_percent_and_their_times_at_will():
    shown = ["Laws on held-out mixtures, best first", "law   error %  seconds  note", "mean    3.560    12.34  x"]
    assert difference(shown, "\n".join(shown).replace("3.560    12.34", "3.570     0.12")) == ""
    assert difference(shown, "\n".join(shown).replace("3.560", "3.660"))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["done in 3 min 2 s"], "done in 45 s\n"),
        (["a  b", "1  2"], "a   b\n1   2"),
        (["first", "..."], "first\nsecond\nthird"),
        (["...", "last"], "first\nlast"),
    ],
)
def test_these_are_alike(shown, printed):
    assert difference(shown, printed) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["loss 4.13"], "loss 4.53"),
        (["weight 30 %"], "weight -30 %"),
        (["wrote fit.json"], "wrote fit2.json"),
        (["one", "two"], "one"),
        (["one"], "one\ntwo"),
        (["...", "last"], "first\nlast\nmore"),
    ],
)
def test_these_are_not(shown, printed):
    assert difference(shown, printed)


ANSWER = """\
weights  37.5 % code, 32.0 % math, 30.5 % chat of 240k tokens
gains    perplexity vs natural: math -8.1 % (-0.084 nats), code -1.5 % (-0.015)
loses    chat +7.7 % (+0.074 nats)
sure     98 % likely better than natural: total loss -0.26 % (-0.44 to -0.07)
cost     812 % of the final run; next: open report.html"""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("37.5 % code, 32.0 % math, 30.5 % chat of", "35.1 % code, 32.5 % chat, 32.4 % math of"),
        ("98 % likely", "over 99 % likely"),
        ("chat +7.7 % (+0.074 nats)", "none"),
        ("-0.26 % (-0.44 to -0.07)", "-0.20 % (-0.44 to +0.07)"),
    ],
)
def test_an_answer_may_list_in_another_order(shown, printed):
    assert shown in ANSWER
    assert difference(ANSWER.splitlines(), ANSWER.replace(shown, printed)) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("37.5 % code", "27.5 % code"),
        ("32.0 % math", "32.0 % law"),
        ("of 240k tokens", "of 250k tokens"),
        ("likely better", "likely worse"),
        ("812 %", "813 %"),
        ("98 %", "70 %"),
        ("sure ", "then "),
    ],
)
def test_an_answer_that_says_something_else_is_found(shown, printed):
    assert difference(ANSWER.splitlines(), ANSWER.replace(shown, printed)) != ""


PREDICTED = """\
losses   predicted, nats per supervised token (90 % interval of a run):
         sql 1.763 (0.975 to 2.694), shell 4.308 (3.441 to 5.001)
next     mixlaw solve fit.json --budget 300k"""


def test_lines_that_an_answer_goes_on_with_rest_on_draws_too():
    there = PREDICTED.replace("0.975", "0.947").replace("3.441", "3.525")
    assert difference(PREDICTED.splitlines(), there) == ""
    assert difference(PREDICTED.splitlines(), PREDICTED.replace("1.763", "1.963"))


def test_an_interval_may_differ_more_than_its_mean_and_decimals_by_a_rounding():
    shown = ["losses   predicted, nats:", "         sql 1.644 (0.916 to 2.520), shell 4.145 (3.315 to 4.894)"]
    wider = "\n".join(shown).replace("0.916", "0.771").replace("1.644", "1.616")
    assert difference(shown, wider) == ""
    assert difference(shown, "\n".join(shown).replace("1.644", "1.371"))
    assert difference(shown, "\n".join(shown).replace("0.916", "0.516"))
    then = ["then     transfer 2 %, ridge 2.4 %"]
    assert difference(then, then[0].replace(" 2 %", " 2.1 %")) == ""
    assert difference(then, then[0].replace(" 2 %", " 2.3 %"))
