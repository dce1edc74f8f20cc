"""What a ranker sees of a candidate, for all candidates of a search at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from honeyguide.candidates import CREATED_DAY, POPULARITY, Q2E, Q2E_ACTIONS, RECENCY, TREND
from honeyguide.documents import DAY_S
from honeyguide.query import Taste, Understanding
from honeyguide_orchestrator.document_actions import NO_ACTIONS, DocumentActions
from honeyguide_orchestrator.document_language import NO_LANGUAGE, DocumentLanguage
from honeyguide_orchestrator.merge import Merged
from honeyguide_orchestrator.query_evidence import expected, on_log_scale, passed_over, seen, silent

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

RECIPROCAL_RANK_K = 60.0
"""The constant of reciprocal-rank fusion (Cormack, Clarke and Buettcher 2009)."""

GENERAL = (
    "agreement",
    "best_rank",
    "popularity",
    "newness",
    "q2e",
    "q2e_actions",
    "recency",
    "trend",
    "named",
    "type_meant",
    "type_affinity",
    "acted_on",
    "expected",
    "q2e_short",
    "q2e_long",
    "actions_day",
    "actions_long",
    "q2e_latest",
    "q2e_silent",
    "called",
    "q2e_passed_over",
)
"""Features that do not belong to one strategy."""

PER_STRATEGY = ("found", "reciprocal_rank", "top", "score")
"""Features that every strategy has, named `<strategy>:<feature>`."""

CONTENT = ("lexical.", "vector.dense", "vector.sparse")
"""Prefixes of the strategies whose lists say how well a document matches a query's words."""

NAMES_KEPT = 4_096
"""Sets of strategies whose features' names are kept."""

UNWANTED_ACTIONS = 0.2
"""Actions that a document nobody acted on counts as."""

CALLED_UNIT, CALLED_MAX = 5.0, 4.0
"""Nats that are told as 1, so that the feature is of order 1; and the most told."""

OF_OTHERS = ("memory.near", "memory.user", "memory.popular", "memory.fresh", "vector.similar", "related.")
"""Prefixes of the strategies whose ranks say nothing of how well a document fits this very query."""

OF_QUERY_MEMORY = ("q2e", "recency", "memory.query:", "memory.near:")
"""Prefixes of the features that know this very query; see `LinearLearner`."""


def feature_names(strategies: Sequence[str]) -> tuple[str, ...]:
    """Names of the features for these strategies, in the order of `candidate_features`."""
    return _feature_names(tuple(strategies))


@lru_cache(maxsize=NAMES_KEPT)
def _feature_names(strategies: tuple[str, ...]) -> tuple[str, ...]:
    return (*GENERAL, *(f"{strategy}:{feature}" for strategy in strategies for feature in PER_STRATEGY))


def is_known(features: Floats, names: Sequence[str] = GENERAL) -> bool:
    """Whether people acted on one of these candidates for this very query; the first columns are named `names`."""
    return "q2e_actions" in names and bool(features[:, names.index("q2e_actions")].any())


def candidate_features(
    merged: Merged,
    understanding: Understanding,
    taste: Taste,
    type_affinity: Mapping[str, float],
    time_s: float,
    actions: DocumentActions = NO_ACTIONS,
    language: DocumentLanguage = NO_LANGUAGE,
) -> Floats:
    """Features [N, len(feature_names(merged.strategies))], float32, of order 1.

    Per strategy: found (0 or 1), reciprocal rank 61 / (60 + rank), top 1 / rank, and the score min-max normalised in
    its list; all 0 where not found. Then agreement (share of the strategies that found it), `best_rank`,
    log popularity relative to the list's largest, less the mean of the candidates of its type (0 for types that have
    none: what sells well says nothing against an abstract), newness (halved every year), what memory knows, how far
    the document and its type are what the query was understood to mean; and, whichever strategy found the document,
    what was expected of it, seen on this query and passed over (see `query_evidence`), people's actions on it in a day
    and for long, and how likely it is called so and wanted at all, relative to the likeliest (see `called`).
    """
    count, strategies = merged.ranks.shape
    features = np.zeros((count, len(GENERAL) + strategies * len(PER_STRATEGY)), np.float32)
    general, per = (
        features[:, : len(GENERAL)],
        features[:, len(GENERAL) :].reshape(count, strategies, len(PER_STRATEGY)),
    )
    if count:
        found = merged.ranks > 0
        ranks = np.maximum(merged.ranks, 1).astype(np.float32)
        reciprocal = np.where(found, (RECIPROCAL_RANK_K + 1) / (RECIPROCAL_RANK_K + ranks), np.float32(0))
        top = np.where(found, 1 / ranks, np.float32(0))
        score = _normalized(merged.scores, found)
        per[:, :, 0], per[:, :, 1], per[:, :, 2], per[:, :, 3] = found, reciprocal, top, score
        general[:, 0] = found.mean(axis=1)
        general[:, 1] = best_rank(top, merged.strategies)
        codes = {type: code for code, type in enumerate(dict.fromkeys(merged.types))}
        coded = np.fromiter(map(codes.__getitem__, merged.types), np.intp, count)
        popularity = np.log1p(merged.shared[POPULARITY])
        relative = popularity / max(float(popularity.max()), 1e-6)
        general[:, 2] = relative - (np.bincount(coded, relative) / np.bincount(coded))[coded]
        age_days = np.maximum(time_s / DAY_S - merged.shared[CREATED_DAY], 0)
        general[:, 3] = np.where(merged.shared[CREATED_DAY] > 0, np.exp2(-age_days / 365), 0)
        remembered = merged.remembered
        known = remembered.of(merged.document_ids)
        general[:, 4] = np.log1p(100 * merged.shared[Q2E]) / np.log1p(100)
        general[:, 5] = np.log1p(np.maximum(merged.shared[Q2E_ACTIONS], known[:, 2])) / 3
        general[:, 6] = np.maximum(merged.shared[RECENCY], np.where(known[:, 2] >= 0, known[:, 3], 0))
        general[:, 7] = np.log1p(np.maximum(merged.shared[TREND], 0)) / 3
        named, meant = _meant(understanding)
        acted_on = {*taste.session_document_ids, *taste.user_document_ids}
        if named:
            general[:, 8] = [named.get(document_id, 0.0) for document_id in merged.document_ids]
        general[:, 9] = np.array([meant.get(type, 0.0) for type in codes])[coded]
        general[:, 10] = np.array([type_affinity.get(type, 0.0) for type in codes])[coded]
        if acted_on:
            general[:, 11] = [document_id in acted_on for document_id in merged.document_ids]
        acted = actions.of(merged.document_ids, time_s)
        content = [s for s, name in enumerate(merged.strategies) if name.startswith(CONTENT)]
        standing = standing_of(per[:, content, 1:])
        prior = expected(known[:, 0], remembered.expectation, standing, acted[:, 1] + popularity)
        short, long = remembered.totals.tolist()
        general[:, 12] = on_log_scale(prior)
        general[:, 13] = seen(known[:, 1], short, prior)
        general[:, 14] = seen(known[:, 2], long, prior)
        general[:, 15:17] = np.log1p(acted) / 3
        general[:, 17] = remembered.latest(merged.document_ids)
        general[:, 18] = silent(known, remembered)
        general[:, 20] = passed_over(known)
        likelihoods = language.likelihoods(merged.document_ids, understanding.normalized_query)
        if likelihoods is not None:
            general[:, 19] = called(likelihoods, acted[:, 1])
    return features


def called(likelihoods: Doubles, actions: Doubles) -> Floats:
    """log P(q | d) P(d) relative to the largest, in fives, [N] in [-CALLED_MAX, 0].

    Args:
        likelihoods: [N], log P(q | d).
        actions: [N], lasting actions on the document, whose share of all is P(d).
    """
    logs = likelihoods + np.log(actions + UNWANTED_ACTIONS)
    relative: Floats = np.maximum((logs - logs.max()) / CALLED_UNIT, -CALLED_MAX).astype(np.float32)
    return relative


def standing_of(lists: Floats) -> Floats:
    """[N]: the mean standing of candidates in the lists that look at the content, in [0, 1].

    Args:
        lists: [N, lists, 3], reciprocal rank, top and score in each of them.
    """
    count, number, _ = lists.shape
    standing: Floats = lists.mean(axis=(1, 2)) if number else np.zeros(count, np.float32)
    return standing


def best_rank(tops: Floats, strategies: Sequence[str]) -> Floats:
    """[N]: the largest 1 / rank in the lists of this very query; 0 = in none of them.

    A document that leads some other list, of what sells well for instance, is no match for that.

    Args:
        tops: [N, S], 1 / rank, 0 where a strategy did not find the document.
        strategies: their names, S.
    """
    columns = [column for column, name in enumerate(strategies) if not name.startswith(OF_OTHERS)]
    best: Floats = tops[:, columns].max(axis=1, initial=0.0)
    return best


def _normalized(scores: Floats, found: npt.NDArray[np.bool_]) -> Floats:
    low = np.where(found, scores, np.inf).min(axis=0, initial=np.inf)
    high = np.where(found, scores, -np.inf).max(axis=0, initial=-np.inf)
    span = np.where(high > low, high - low, 1.0)
    raised = np.where(np.isfinite(low), scores - np.where(np.isfinite(low), low, 0), 0) / span
    # A lone candidate, or equal scores, are worth as much as a list's best.
    flat: Floats = np.where(found, np.where(high > low, 0.05 + 0.95 * raised, 1.0), 0.0).astype(np.float32)
    return flat


def _meant(understanding: Understanding) -> tuple[dict[str, float], dict[str, float]]:
    named: dict[str, float] = {}
    meant: dict[str, float] = {}
    for interpretation in understanding.interpretations:
        for document_id in interpretation.document_ids:
            named[document_id] = named.get(document_id, 0.0) + interpretation.likelihood
        for type in interpretation.types:
            meant[type] = meant.get(type, 0.0) + interpretation.likelihood
    return named, meant
