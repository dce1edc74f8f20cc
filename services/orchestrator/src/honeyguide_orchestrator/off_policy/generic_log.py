"""Anybody's log: one round a line, as JSON.

    {"context": {"words": 3, "locale": "de"}, "action": "b", "propensity": 0.25, "reward": 1, "target": 0.7}

context (may be missing): features, numbers or texts. action: a text or a number. propensity: with which the logging
policy took that action, 1e-12 to 1. reward: -1e12 to 1e12. target (may be missing): probability of that action under
the policy to be evaluated, or of every action, as {"a": 0.1, "b": 0.7, "c": 0.2}; only the latter tells a reward model
what else the target would do.

Beside the log's own target three policies are known to every log: `uniform` over the actions seen, `always:ACTION`, and
`best`, which takes what a ridge regression learned from the log predicts to be best, each round by a model that was
learned without it.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.off_policy import reward_model, support
from honeyguide_orchestrator.off_policy.rounds import Doubles, Rounds
from honeyguide_orchestrator.off_policy.support import Support

ACTIONS_MAX = 1_000
FEATURES_MAX = 300
CELLS_MAX = 50_000_000
"""Most numbers in a reward model's design; larger logs go without interactions, then without a model."""

PROPENSITY_MIN = 1e-12
REWARD_MAX = 1e12
"""Beyond either, what is computed from them would leave what a double holds, or what it tells apart."""

OWN, UNIFORM, ALWAYS, BEST = "target", "uniform", "always", "best"
NAMES = f"{OWN} (the log's own), {UNIFORM}, {ALWAYS}:ACTION, {BEST}"


@dataclass(frozen=True, slots=True)
class GenericLog:
    """n rounds.

    features: [n, F], the first of them 1. taken: [n], index of the action. propensities, rewards: [n]. own: [n], the
    target's probability of the action taken; own_all: [n, A], of all actions; None where the log does not tell.
    """

    actions: tuple[str, ...]
    features: Doubles
    taken: np.ndarray[tuple[int], np.dtype[np.int64]]
    propensities: Doubles
    rewards: Doubles
    own: Doubles | None
    own_all: Doubles | None

    def __len__(self) -> int:
        return len(self.rewards)


@dataclass(frozen=True, slots=True)
class _Line:
    context: Mapping[str, float]
    action: str
    propensity: float
    reward: float
    target: float | Mapping[str, float] | None


def read_log(lines: Iterable[str], newest: int = 0) -> GenericLog:
    """Reads a log; `newest` > 0: its last so many rounds.

    Raises:
        InvalidArgument: naming the line, the field and what is allowed.
    """
    read = [_line(number, text) for number, text in enumerate(lines, start=1) if text.strip()]
    rounds = read[-newest:] if newest else read
    if not rounds:
        raise InvalidArgument("log", "holds no round; at least 1 is needed")
    told = {type(one.target) for one in rounds}
    if len(told) > 1:
        raise InvalidArgument("log", "some lines tell the target's probability one way and some another, or not at all")
    actions = {one.action for one in rounds}
    for one in rounds:
        if isinstance(one.target, Mapping):
            actions.update(one.target)
    if len(actions) > ACTIONS_MAX:
        raise InvalidArgument("log", f"holds {len(actions):,} actions; at most {ACTIONS_MAX:,} are allowed")
    names = tuple(sorted(actions))
    index = {name: i for i, name in enumerate(names)}
    taken = np.array([index[one.action] for one in rounds], np.int64)
    own, own_all = _targets(rounds, index, taken)
    return GenericLog(
        actions=names,
        features=_features(rounds),
        taken=taken,
        propensities=np.array([one.propensity for one in rounds]),
        rewards=np.array([one.reward for one in rounds]),
        own=own,
        own_all=own_all,
    )


def rounds_for(log: GenericLog, target: str, seed: int = 0) -> tuple[Rounds, Support]:
    """The log, weighed for a target policy.

    Raises:
        InvalidArgument: an unknown target, or one that the log tells nothing of.
    """
    rng = np.random.default_rng(seed)
    name, _, what = target.partition(":")
    own, every = _probabilities(log, name, what, rng)
    weights = own / log.propensities
    low, high = min(0.0, float(log.rewards.min())), max(1.0, float(log.rewards.max()))
    predictions = None
    interact = _interacts(log)
    if every is not None and interact is not None:
        one_hot = np.eye(len(log.actions))[log.taken]
        predictions = reward_model.fit(
            _design(log.features, one_hot, interact),
            _design(log.features, every, interact),
            log.rewards,
            (low, high),
            rng,
        )
    rounds = Rounds(weights, log.rewards, log.rewards, low, high, predictions)
    return rounds, support.by_weights(weights)


def _probabilities(log: GenericLog, name: str, what: str, rng: np.random.Generator) -> tuple[Doubles, Doubles | None]:
    """The target's probabilities of the actions taken [n], and of all [n, A] where they are known."""
    if name == OWN and not what:
        if log.own is None:
            raise InvalidArgument("policy", f"the log's lines tell no target; others are {NAMES}")
        return log.own, log.own_all
    count, actions = len(log), len(log.actions)
    if name == UNIFORM and not what:
        every = np.full((count, actions), 1 / actions)
    elif name == ALWAYS:
        action = what.removeprefix("action=")
        if action not in log.actions:
            seen = ", ".join(log.actions[:10])
            raise InvalidArgument("policy", f"{ALWAYS}:{action[:80]}: no such action in the log; there are {seen}")
        every = np.zeros((count, actions))
        every[:, log.actions.index(action)] = 1.0
    elif name == BEST and not what:
        every = _best(log, rng)
    else:
        raise InvalidArgument("policy", f"{name[:80]!r} is not one of {NAMES}")
    return every[np.arange(count), log.taken], every


def _best(log: GenericLog, rng: np.random.Generator) -> Doubles:
    interact = _interacts(log)
    if interact is None:
        raise InvalidArgument("policy", f"{BEST}: the log is too large for a reward model; lower --limit")
    one_hot = np.eye(len(log.actions))
    taken = _design(log.features, one_hot[log.taken], interact)
    every = np.zeros((len(log), len(log.actions)))
    fold_of = rng.permutation(len(log)) % reward_model.FOLDS
    for fold in range(min(reward_model.FOLDS, len(log))):
        held = fold_of == fold
        theta = reward_model.solve(taken[~held], log.rewards[~held], reward_model.PENALTY)
        predicted = np.stack(
            [
                _design(log.features[held], np.tile(action, (int(held.sum()), 1)), interact) @ theta
                for action in one_hot
            ],
            axis=1,
        )
        every[np.flatnonzero(held), predicted.argmax(axis=1)] = 1.0
    return every


def _interacts(log: GenericLog) -> bool | None:
    """Whether the model has weights of every feature for every action; None = there can't be a model."""
    count, features, actions = len(log), log.features.shape[1], len(log.actions)
    columns = features * actions
    if count * columns <= CELLS_MAX and columns <= min(2_000, count):
        return True
    return False if count * (features + actions) <= CELLS_MAX else None


def _design(features: Doubles, actions: Doubles, interact: bool) -> Doubles:
    if interact:
        return (features[:, :, None] * actions[:, None, :]).reshape(len(features), -1)
    return np.concatenate([features[:, 1:], actions], axis=1)


def _features(rounds: list[_Line]) -> Doubles:
    """A constant and the most frequent features."""
    frequent = Counter(name for one in rounds for name, value in one.context.items() if value)
    names = {name: i for i, (name, _) in enumerate(frequent.most_common(FEATURES_MAX), start=1)}
    features = np.zeros((len(rounds), len(names) + 1))
    features[:, 0] = 1.0
    for row, one in enumerate(rounds):
        for name, value in one.context.items():
            if name in names:
                features[row, names[name]] = value
    scale = np.abs(features).max(axis=0)
    return np.asarray(features / np.where(scale > 0, scale, 1.0), np.float64)


def _targets(rounds: list[_Line], index: Mapping[str, int], taken: Any) -> tuple[Doubles | None, Doubles | None]:
    if isinstance(rounds[0].target, Mapping):
        every = np.zeros((len(rounds), len(index)))
        for row, one in enumerate(rounds):
            for action, probability in one.target.items() if isinstance(one.target, Mapping) else ():
                every[row, index[action]] = probability
        return every[np.arange(len(rounds)), taken], every
    if rounds[0].target is None:
        return None, None
    return np.array([one.target for one in rounds], np.float64), None


def _line(number: int, text: str) -> _Line:
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise InvalidArgument("log", f"line {number:,} is not JSON: {error}") from None
    if not isinstance(plain, dict):
        raise InvalidArgument("log", f"line {number:,} is not a JSON object")
    context = plain.get("context", {})
    if not isinstance(context, dict):
        raise InvalidArgument("log", f"line {number:,}: context: an object of features is allowed")
    action = plain.get("action")
    if not isinstance(action, str | int) or isinstance(action, bool):
        raise InvalidArgument("log", f"line {number:,}: action: a text or a whole number is needed")
    return _Line(
        context=dict(_feature(number, name, value) for name, value in context.items()),
        action=str(action),
        propensity=_number(number, "propensity", plain.get("propensity"), PROPENSITY_MIN, 1.0),
        reward=_number(number, "reward", plain.get("reward"), -REWARD_MAX, REWARD_MAX),
        target=_target(number, plain.get("target")),
    )


def _target(number: int, told: object) -> float | Mapping[str, float] | None:
    if told is None:
        return None
    if not isinstance(told, dict):
        return _number(number, "target", told, 0.0, 1.0)
    every = {str(action): _number(number, "target", one, 0.0, 1.0) for action, one in told.items()}
    if abs(sum(every.values()) - 1.0) > 1e-3:
        raise InvalidArgument(
            "log", f"line {number:,}: target: its probabilities add up to {sum(every.values()):g}, not 1"
        )
    return every


def _feature(number: int, name: str, value: object) -> tuple[str, float]:
    if isinstance(value, str):
        return f"{name}={value}", 1.0
    if isinstance(value, bool):
        return name, float(value)
    return name, _number(number, f"context.{name}", value)


def _number(number: int, field: str, value: object, least: float = -math.inf, most: float = math.inf) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if not good or not least <= value <= most:  # type: ignore[operator]
        allowed = "a number" if most == math.inf else f"{least:g} to {most:g}"
        told = "missing" if value is None else f"{str(value)[:40]!r}"
        raise InvalidArgument("log", f"line {number:,}: {field}: {told}; {allowed} is allowed")
    return float(value)  # type: ignore[arg-type]
