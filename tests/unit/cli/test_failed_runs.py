"""A study some of whose runs failed: the list first, then the fit of what is left if that suffices; exit code 3."""

import pytest

import mixlaw as package
from mixlaw.api.project import Project
from mixlaw.core.errors import RunFailed
from mixlaw.core.run import RunRecord, TargetLoss
from unit.cli.test_study_files import write_inputs


@pytest.fixture
def study_with(tmp_path):
    def make(failed):
        config = write_inputs(tmp_path)
        package.plan(config)
        study = Project.open(config).study
        for number, spec in enumerate(study.load_plan()):
            study.claim(spec).release()
            if number >= len(study.load_plan()) - failed:
                study.fail(spec, RunFailed(f"Run '{spec.name}' diverged: the loss is nan.", "Lower it."), retry=False)
                continue
            losses = {name: 2 + 3 * (tokens + 50) ** -0.3 + 1e-4 * (number % 3) for name, tokens in spec.tokens.items()}
            counted = {name: TargetLoss(100 * loss, 100, 300) for name, loss in losses.items()}
            study.complete(spec, RunRecord(spec, spec.tokens, spec.tokens, spec.tokens, counted, 3, 9), {})
        return config, len(study.load_plan())

    return make


def test_two_runs_that_are_left_end_with_the_list_of_failures(study_with, mixlaw):
    config, runs = study_with(7)
    result = mixlaw("run", config, "--json")
    error = result.json["error"]
    assert result.code == 3 and error["code"] == "runs_failed"
    assert f"7 of {runs} runs failed" in error["message"] and f"\n  - 7 of {runs} runs diverged" in error["message"]


def test_a_fit_of_what_is_left_says_so(study_with, mixlaw):
    config, runs = study_with(1)
    result = mixlaw("run", config, "--json")
    assert result.code == 3, result.stderr
    first, second, *_ = result.json["warnings"]
    assert first.startswith(f"1 of {runs} runs diverged") and f"the {runs - 1} of {runs} runs" in second
    assert result.json["fit"]["runs"] == runs - 1
