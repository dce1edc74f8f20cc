"""What docs/experiments.md says can be typed in."""

from __future__ import annotations

import json
import re
from pathlib import Path

from honeyguide_orchestrator.experiment import Experiment
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.ranker import RANKERS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "experiments.md").read_text()


def test_the_experiments_of_the_page_and_of_the_example_are_experiments() -> None:
    told = re.findall(r"EXPERIMENT(?:=|: )'(\{.*?\})'", PAGE, re.DOTALL)
    told += re.findall(r"EXPERIMENT: '(\{.*?\})'\}", (DOCS / "examples/experiment.py").read_text())
    assert len(told) == 4
    for text in told:
        experiment = Experiment.model_validate(json.loads(text))
        for variant in (experiment.a, experiment.b):
            assert not variant.policy or variant.policy in POLICIES
            assert not variant.ranker or variant.ranker in RANKERS


def test_the_files_the_page_links_to_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (DOCS / target).exists(), target
