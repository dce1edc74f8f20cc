"""Whether the policies and rankers that settings and commands name are there."""

from __future__ import annotations

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.ranker import RANKERS, check_available
from honeyguide_orchestrator.settings import OrchestratorSettings

PREFIX = "HONEYGUIDE_ORCHESTRATOR_"


def check_policy(name: str, field: str) -> None:
    """Raises InvalidArgument, on that field, if there is no policy of this name."""
    if name not in POLICIES:
        raise InvalidArgument(field, f"{name[:80]!r} is not one of {', '.join(POLICIES)}")


def check_ranker(name: str, field: str) -> None:
    """Raises InvalidArgument, on that field, if there is no ranker of this name."""
    if name not in RANKERS:
        raise InvalidArgument(field, f"{name[:80]!r} is not one of {', '.join(RANKERS)}")


def check_names(settings: OrchestratorSettings) -> None:
    """Checks all that the settings name.

    Raises:
        InvalidArgument: on the variable's name, if there is no such policy or ranker, or it cannot be had here.
    """
    experiment = settings.experiment
    variants = (experiment.a, experiment.b) if experiment else ()
    policies = [("SHADOW_POLICY", settings.shadow_policy), *(("EXPERIMENT", variant.policy) for variant in variants)]
    for name, policy in [("POLICY", settings.policy), *((name, policy) for name, policy in policies if policy)]:
        check_policy(policy, f"{PREFIX}{name}")
    rankers = [("EXPERIMENT", variant.ranker) for variant in variants]
    for name, ranker in [("RANKER", settings.ranker), *((name, ranker) for name, ranker in rankers if ranker)]:
        check_ranker(ranker, f"{PREFIX}{name}")
        check_available(ranker, f"{PREFIX}{name}")
