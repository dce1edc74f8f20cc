"""What is known of a query's documents: expected before any action on it, and what the actions on it say since.

A query's actions are counts of a multinomial over documents with a Dirichlet prior of S pseudo actions (Gelman et al.,
Bayesian Data Analysis, section 3.4), so that the posterior mean factors into what was expected and what was seen:

    log P(d | q) = log p(d) + log [(S + n(d) / p(d)) / (S + N)].

The prior p mixes what memory expects (predicted pairs, near queries, words; the fewer of them speak, the less it
counts) with how well the document matches, times how often people act on it: an exponential family over the mean
standing in the lists of the strategies that look at the content. n and N are decayed, once fast and once slowly, and
both are features: when they disagree, tastes have changed. Nothing known of a query leaves the second term 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.candidates import Q2E_LONG, Q2E_PRIOR, Q2E_SHORT, Q2E_SHOWN, RECENCY

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

COLUMNS = (Q2E_PRIOR, Q2E_SHORT, Q2E_LONG, RECENCY, Q2E_SHOWN)

PRIOR_ACTIONS = 2.0
"""S: actions that the prior counts as."""

MATCH_SHARE = 0.3
"""Least weight in the prior of match times popularity: that where all of memory's sources expect something."""

MATCH_SHARPNESS = 6.0
"""How many times likelier, as a logarithm, the best in every list is than one at the end of every list."""

EXPECTED_MIN = 1e-3
"""Floor of p(d): a document that nothing spoke for is not infinitely surprising."""

GAIN_UNIT = 4.605170185988092
"""log 100: what is seen is measured in hundredfolds, so that features are of order 1."""


RECENCY_MIN = 1e-6
"""Some twenty half-lives; whatever is older is as old."""

DISLIKED_LOOKS = 3.0

WAITED_COMMON, WAITED_OVER = 2.0, 6.0
"""Actions waited for in vain: up to the first they say nothing, from the second on all that they can."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What memory ties to the query: rows of `columns` [n, len(COLUMNS)] by document id."""

    rows: Mapping[str, int] = field(default_factory=dict)
    columns: Floats = field(default_factory=lambda: np.zeros((0, len(COLUMNS)), np.float32))

    def of(self, document_ids: Sequence[str]) -> Floats:
        """[N, len(COLUMNS)] for these documents; 0 where memory knows nothing."""
        found = np.zeros((len(document_ids), len(COLUMNS)), np.float32)
        if self.rows:
            known = [(i, self.rows[id]) for i, id in enumerate(document_ids) if id in self.rows]
            if known:
                at, rows = zip(*known, strict=True)
                found[list(at)] = self.columns[list(rows)]
        return found

    def latest(self, document_ids: Sequence[str]) -> Floats:
        """[N]: 1 for the document that somebody acted on last for this query, 1/2 for the one before ...; 0 = never.

        Tastes may change overnight, and counts follow late.
        """
        found = np.zeros(len(document_ids), np.float32)
        acted = np.flatnonzero((self.columns[:, 2] > 0) & (self.columns[:, 3] > 0))
        if len(acted):
            turns = np.zeros(len(self.columns), np.float32)
            turns[acted[np.argsort(-self.columns[acted, 3], kind="stable")]] = 1.0 / np.arange(1, len(acted) + 1)
            for i, id in enumerate(document_ids):
                if id in self.rows:
                    found[i] = turns[self.rows[id]]
        return found

    @property
    def expectation(self) -> float:
        """How much of the prior memory can speak for, in [0, 1]: what its expectations add up to."""
        return min(1.0, float(self.columns[:, 0].sum()))

    @property
    def totals(self) -> Floats:
        """N at the short and at the long half-life: actions on all documents, those disliked on the whole left out."""
        totals: Floats = np.maximum(self.columns[:, 1:3], 0).sum(axis=0)
        return totals


NOTHING_REMEMBERED = Remembered()


def remembered_from_proto(message: memory_pb2.RecallResponse) -> Remembered:
    """Reads the documents of a recall; one that does not fit its own columns counts as none."""
    names, count = list(message.feature_names), len(message.document_ids)
    matrix = np.frombuffer(message.features, "<f4")
    if not count or matrix.size != count * len(names) or not np.isfinite(matrix).all():
        return NOTHING_REMEMBERED
    matrix = matrix.reshape(count, len(names))
    columns = np.zeros((count, len(COLUMNS)), np.float32)
    for at, name in enumerate(COLUMNS):
        if name in names:
            columns[:, at] = matrix[:, names.index(name)]
    return Remembered({id: row for row, id in enumerate(message.document_ids)}, columns)


def expected(remembered_prior: Floats, expectation: float, standing: Floats, popularity: Doubles) -> Doubles:
    """p(d) of every candidate, [N].

    Args:
        remembered_prior: [N], what memory expects.
        expectation: what memory's expectations add up to over all documents, in [0, 1].
        standing: [N], mean standing over the lists that look at the content, in [0, 1]; 0 = in none of them.
        popularity: [N], actions on the document of late, 0 or more.
    """
    match = expected_by_match(standing, popularity)
    if not match.any():
        return remembered_prior.astype(np.float64)
    if not remembered_prior.any():
        return match
    remembered_share = 1.0 - MATCH_SHARE
    return (1.0 - remembered_share * expectation) * match + remembered_share * remembered_prior


def expected_by_match(standing: Floats, popularity: Doubles | float = 0.0) -> Doubles:
    """p(d) where memory expects nothing, [N]; all 0 where no list that looks at the content has any of them.

    Args:
        standing, popularity: see `expected`.
    """
    match = np.where(standing > 0, np.exp(MATCH_SHARPNESS * standing.astype(np.float64)) * (1.0 + popularity), 0.0)
    match /= match.sum() or 1.0
    return match


def seen(actions: Floats, total: float, expected: Doubles) -> Doubles:
    """log [(S + n(d) / p(d)) / (S + N)] in hundredfolds, [N]; a document disliked on the whole is as one never met."""
    ratio = (PRIOR_ACTIONS + np.maximum(actions, 0) / np.maximum(expected, EXPECTED_MIN)) / (PRIOR_ACTIONS + total)
    gain: Doubles = np.log(ratio) / GAIN_UNIT
    return gain


def silent(known: Floats, remembered: Remembered) -> Floats:
    """How surprisingly long nobody acted on a document, while others were acted on for the same query, [N] in [0, 1].

    Actions on a document come at the rate n ln 2 / half-life, n as of the newest of them. Until the query's newest
    action, `waited` more were to be expected; that none came has a chance of exp(-waited) if tastes are as they were
    (a Poisson process). Times are taken from recency, which halves every short half-life: so the half-life cancels.
    Waiting for two is common and says nothing; for six it says that the document has had its day.

    Args:
        known: [N, len(COLUMNS)], what `remembered` has of these documents.
    """
    newest = float(remembered.columns[:, 3].max(initial=0.0))
    recency = known[:, 3]
    as_of_newest = np.maximum(known[:, 1], 0) / np.where(recency > 0, recency, 1.0)  # both decay alike
    waited = as_of_newest * np.log(np.maximum(newest / np.maximum(recency, RECENCY_MIN), 1.0))
    surprise: Floats = np.clip((waited - WAITED_COMMON) / (WAITED_OVER - WAITED_COMMON), 0, 1).astype(np.float32)
    return np.where(known[:, 3] > 0, surprise, np.float32(0))


def passed_over(known: Floats) -> Floats:
    """How much more often a document was looked at for this query than acted on, [N], 0 or more.

    The inverse, as a logarithm, of its clicks over expected clicks (COEC: Zhang and Jones, "Comparing click logs and
    editorial labels for training query rewriting", WWW 2007 workshop): an impression counts by how likely its position
    is looked at, so that standing far down, unseen, says little against a document. Both sums are smoothed by 1. Who
    dislikes a document says so on purpose: as much as `DISLIKED_LOOKS` who look and do nothing.

    Args:
        known: [N, len(COLUMNS)], what is remembered of these documents.
    """
    looked_at = known[:, 4] + DISLIKED_LOOKS * np.maximum(-known[:, 2], 0)
    passed: Floats = np.maximum(np.log1p(looked_at) - np.log1p(np.maximum(known[:, 2], 0)), 0)
    return passed


def on_log_scale(expected: Doubles) -> Doubles:
    """p(d) on a logarithmic scale from 0 (far below 1 in 1,000) to 1 (certain)."""
    scaled: Doubles = np.log1p(expected / EXPECTED_MIN) / np.log1p(1 / EXPECTED_MIN)
    return scaled
