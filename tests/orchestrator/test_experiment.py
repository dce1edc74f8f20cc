from collections import Counter

import pytest
from pydantic import ValidationError

from honeyguide.config import load
from honeyguide_orchestrator.experiment import Experiment, Mode, Trial, Variant
from honeyguide_orchestrator.settings import OrchestratorSettings

SPLIT = Experiment(name="x", b=Variant(ranker="linear")).over("squarecb", "gated")


def sides(experiment: Experiment, units: int = 4_000) -> list[str]:
    trials = [experiment.assign(f"user {n}") for n in range(units)]
    return ["" if trial is None else trial.side for trial in trials]


def test_variants_are_written_out() -> None:
    assert SPLIT.a == Variant(policy="squarecb", ranker="gated")
    assert SPLIT.b == Variant(policy="squarecb", ranker="linear")


def test_a_user_keeps_the_variant_and_halves_are_halves() -> None:
    assert sides(SPLIT) == sides(SPLIT)
    assert Counter(sides(SPLIT))["a"] == pytest.approx(2_000, abs=120)


def test_another_name_deals_anew() -> None:
    again = sides(SPLIT.model_copy(update={"name": "y"}))
    same = sum(one == other for one, other in zip(sides(SPLIT), again, strict=True))
    assert same == pytest.approx(2_000, abs=120)


def test_a_share_takes_part_and_a_larger_share_changes_nobodys_variant() -> None:
    tenth, half = (sides(SPLIT.model_copy(update={"share": share})) for share in (0.1, 0.5))
    assert 4_000 - tenth.count("") == pytest.approx(400, abs=70)
    assert all(more == some for some, more in zip(tenth, half, strict=True) if some)


def test_buckets_are_as_good_as_equal() -> None:
    trials = [SPLIT.assign(f"user {n}") for n in range(20_000)]
    buckets = Counter((trial.side, trial.bucket) for trial in trials if trial)
    assert len(buckets) == 200
    assert min(buckets.values()) > 60


def test_interleaving_serves_both() -> None:
    trial = SPLIT.model_copy(update={"mode": Mode.INTERLEAVE}).assign("ann")
    assert trial is not None
    assert (trial.serving, trial.rival) == (SPLIT.a, SPLIT.b)
    assert Trial.from_plain(trial.with_teams([1, 2]).to_plain()) == trial.with_teams([1, 2])
    split = SPLIT.assign("ann")
    assert split is not None
    assert split.rival is None
    assert split.serving == {"a": SPLIT.a, "b": SPLIT.b}[split.side]


@pytest.mark.parametrize(
    "wrong", [{"name": "a b"}, {"name": ""}, {"share": 0}, {"share": 1.1}, {"mode": "both"}, {"c": {}}, {"b": {"x": 1}}]
)
def test_what_is_no_experiment(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Experiment.model_validate({"name": "x", "b": {}, **wrong})


def test_it_comes_from_one_variable_and_a_wrong_one_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variable = "HONEYGUIDE_ORCHESTRATOR_EXPERIMENT"
    monkeypatch.setenv(variable, '{"name": "trees", "mode": "interleave", "share": 0.5, "b": {"ranker": "linear"}}')
    experiment = load(OrchestratorSettings).experiment
    assert experiment == Experiment(name="trees", mode=Mode.INTERLEAVE, share=0.5, b=Variant(ranker="linear"))
    monkeypatch.setenv(variable, '{"name": "trees", "share": 2, "b": {}}')
    with pytest.raises(SystemExit) as end:
        load(OrchestratorSettings)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"{variable}: share: ")
