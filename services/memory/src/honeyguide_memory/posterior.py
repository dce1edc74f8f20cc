"""The Q2E posterior: how likely each document is what a query wants.

A query's observed actions are counts of a multinomial over documents, with a Dirichlet prior of `strength` pseudo
actions spread as the prior probabilities say, so that P(d | q) = (strength p0(d) + n(d)) / (strength + N), the mean of
the Dirichlet posterior (Gelman et al., Bayesian Data Analysis, section 3.4). Two things are ours: counts decay, and
n(d) is positive less negative mass, held at 0 in N and the whole numerator held at 0, so that a disliked document
sinks and others do not rise by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

from honeyguide_memory.mass import Masses

WORD_STRENGTH = 2.0
"""Actions that the base rate of a query's words counts as, against those of one word."""


def posterior(
    observed: Masses, sources: Iterable[tuple[float, Mapping[bytes, float]]], strength: float
) -> dict[bytes, float]:
    """Posterior probability of every document that is observed or in a source.

    `sources` are pairs of a weight and non-negative scores by document of any scale; each is made to add up to 1, and
    the weights of those that have anything are made to add up to 1 as well.
    """
    prior = mix(sources)
    total = strength + float(np.maximum(observed.net, 0.0).sum())
    found = {document: strength * probability / total for document, probability in prior.items()}
    for document, net in zip(observed.targets, observed.net.tolist(), strict=True):
        found[document] = max(0.0, found.get(document, 0.0) + net / total)
    return found


def mix(sources: Iterable[tuple[float, Mapping[bytes, float]]]) -> dict[bytes, float]:
    """The prior: a weighted mean of the sources that have anything, each made to add up to 1."""
    usable = [(weight, scores, sum(scores.values())) for weight, scores in sources if weight > 0]
    usable = [each for each in usable if each[2] > 0]
    weights = sum(weight for weight, _, _ in usable)
    prior: dict[bytes, float] = {}
    for weight, scores, total in usable:
        share = weight / weights / total
        for document, score in scores.items():
            prior[document] = prior.get(document, 0.0) + share * score
    return prior


def told(sources: Iterable[tuple[float, Mapping[bytes, float]]]) -> float:
    """Share of the sources' weights that have anything, in [0, 1]: how much of a prior they can speak for."""
    weights = [(weight, weight if any(scores.values()) else 0.0) for weight, scores in sources]
    total = sum(weight for weight, _ in weights)
    return sum(speaking for _, speaking in weights) / total if total else 0.0


def from_near(near: Sequence[tuple[float, Masses]], strength: float) -> dict[bytes, float]:
    """Sum over near queries of similarity times their own posterior, by document.

    Theirs is taken without a prior's share, so that a query with little behind it has little to say.
    """
    if not near:
        return {}
    shares = []
    for similarity, observed in near:
        wanted = np.maximum(observed.net, 0.0)
        shares.append(similarity * wanted / (strength + wanted.sum()))
    documents, rows = _rows([observed for _, observed in near])
    scores = np.bincount(rows, np.concatenate(shares), len(documents))
    return {document: score for document, score in zip(documents, scores.tolist(), strict=True) if score > 0}


def from_words(words: Iterable[Masses]) -> dict[bytes, float]:
    """Naive Bayes over the known words: p(d) times the product of P(d | word) / p(d), made to add up to 1.

    The base rate p is the mean of P(d | word) over these words, and each P(d | word) is drawn towards it by
    `WORD_STRENGTH` pseudo actions, as n(d, word) may be 0 for want of evidence. So a document that all words speak for
    leads those that one frequent word does.
    """
    known = [(observed, np.maximum(observed.net, 0.0)) for observed in words]
    known = [(observed, wanted) for observed, wanted in known if wanted.sum() > 0]
    if not known:
        return {}
    documents, rows = _rows([observed for observed, _ in known])
    counts = np.zeros((len(known), len(documents)))
    counts[np.repeat(np.arange(len(known)), [len(wanted) for _, wanted in known]), rows] = np.concatenate(
        [wanted for _, wanted in known]
    )
    totals = counts.sum(axis=1, keepdims=True)
    base = (counts / totals).mean(axis=0)
    likely = np.flatnonzero(base > 0)
    base = base[likely]
    smoothed = (counts[:, likely] + WORD_STRENGTH * base) / (totals + WORD_STRENGTH)
    logs = np.log(base) + np.log(smoothed / base).sum(axis=0)
    shares = np.exp(logs - logs.max(initial=-np.inf))
    shares /= max(float(shares.sum()), 1e-12)
    return {documents[row]: share for row, share in zip(likely.tolist(), shares.tolist(), strict=True)}


def _rows(each: Sequence[Masses]) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """The documents of several owners, each once, and for every pair of every owner in turn its document's row."""
    targets = [target for observed in each for target in observed.targets]
    rows = dict(zip(dict.fromkeys(targets), count(), strict=False))
    return list(rows), np.fromiter(map(rows.__getitem__, targets), np.int64, len(targets))
