"""Simulated click logs of a small shop, made of a judged collection: for developing on, not evidence about real users.

A few hundred documents with little more than a title, and searches in time order, each with the document clicked. What
is simulated, and how:

* every document has a popularity (Zipf's law), redrawn for a part of them half-way (drift); some are new, so nobody
  wants them before a day of the log; some have a burst of one to two days, in which they are wanted 12 times as often;
* a search begins with the document wanted, drawn by popularity as of its time; its query is one of those the
  collection's judges tied it to (weighted by grade), or one made of its title (all of it, its beginning, a distinctive
  word, a pair of words), drawn by a Zipf law of its own, so queries repeat; some are mistyped;
* with a chance of 8% another document was clicked: one that shares a word of the query, or else a popular one;
* nine of ten users are seen once, the others twice.

    python -m benchmarks.quality.click_log chorus-icecat FOLDER

writes FOLDER/documents.jsonl and FOLDER/log.jsonl, the latter for `honeyguide replay`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from benchmarks.quality.collection import Collection, read_collection
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.text import words

BEGIN_S = 1_625_000_000.0
"""29 June 2021."""

DAY_S = 86_400.0
DAYS = 60
NOISE = 0.08
MISTYPED = 0.10
TYPO_KINDS = 3
"""A letter left out, two exchanged, one typed twice."""

BURST = 12.0
BURST_SHARE = 0.08
NEW_SHARE = 0.06
DRIFT_SHARE = 0.2
SECOND_VISIT = 0.1
QUERIES_PER_DOCUMENT = 7
GRADED_WEIGHT = 3.0


@dataclass(frozen=True, slots=True)
class Shop:
    """What the log is about: titles and texts by document, and, by query, the documents judged for it by grade."""

    name: str
    titles: Mapping[str, str]
    texts: Mapping[str, str]
    judged: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Click:
    """One search of the log and what was clicked; `wanted` is what the simulated user was after."""

    time_s: float
    query: str
    document_id: str
    user_id: str
    wanted: str


def icecat_shop(seed: int, documents: int = 400) -> Shop | None:
    """Products of chorus-icecat, title only; None where the collection is absent."""
    collection = read_collection("chorus-icecat")
    return None if collection is None else _shop("shop", collection, "product", seed, documents, lambda document: "")


def music_shop(seed: int, documents: int = 600) -> Shop | None:
    """Tracks of cpcd-music, title and, as text, artists; None where the collection is absent."""
    collection = read_collection("cpcd-music", "qrels.search.tsv")
    if collection is None:
        return None
    return _shop(
        "tracks",
        collection,
        "track",
        seed,
        documents,
        lambda document: " ".join(value.text for value in document.attributes["artists"].values),
    )


def _shop(
    name: str,
    collection: Collection,
    type: str,
    seed: int,
    count: int,
    text_of: Callable[[document_pb2.Document], str],
) -> Shop:
    chance = random.Random(f"{name} {seed}")
    by_id = {document.id: document for document in collection.documents if document.type == type}
    judged: dict[str, dict[str, int]] = {}
    chosen: dict[str, None] = {}
    query_ids = sorted(collection.queries)
    chance.shuffle(query_ids)
    for query_id in query_ids:
        good = [id for id, grade in collection.qrels[query_id].items() if grade > 0 and id in by_id]
        if not good or len(chosen) > 0.6 * count:
            continue
        kept = chance.sample(sorted(good), min(len(good), 5))
        chosen.update(dict.fromkeys(kept))
        query = " ".join(words(collection.queries[query_id]))
        judged.setdefault(query, {}).update({id: collection.qrels[query_id][id] for id in kept})
    others = sorted(by_id.keys() - chosen.keys())
    chosen.update(dict.fromkeys(chance.sample(others, max(0, count - len(chosen)))))
    return Shop(
        name,
        {id: by_id[id].title for id in sorted(chosen)},
        {id: text_of(by_id[id]) for id in sorted(chosen)},
        judged,
    )


@dataclass(frozen=True, slots=True)
class _World:
    """What a log is drawn from: wishes by time; by document its queries and how often each is typed; documents by
    word; and the random numbers that go on where those for all this ended."""

    wishes: _Wishes
    queries: Mapping[str, tuple[list[str], list[float]]]
    sharing: Mapping[str, list[str]]
    chance: random.Random

    @classmethod
    def of(cls, shop: Shop, seed: int) -> _World:
        chance = random.Random(f"log of {shop.name} {seed}")
        ids = sorted(shop.titles)
        wishes, queries = _Wishes(ids, chance), _queries(shop, chance)
        sharing: dict[str, list[str]] = defaultdict(list)
        for id in ids:
            for word in set(words(f"{shop.titles[id]} {shop.texts[id]}")):
                sharing[word].append(id)
        return cls(wishes, queries, sharing, chance)


def simulate(shop: Shop, searches: int, seed: int) -> list[Click]:
    """The log, in the order of time."""
    world = _World.of(shop, seed)
    wishes, queries, sharing, chance = world.wishes, world.queries, world.sharing, world.chance
    log: list[Click] = []
    users = 0
    for time_s in sorted(BEGIN_S + chance.random() * DAYS * DAY_S for _ in range(searches)):
        wanted = wishes.draw(time_s, chance)
        texts, weights = queries[wanted]
        query = chance.choices(texts, weights)[0]
        clicked = wanted
        if chance.random() < NOISE:
            alike = [id for word in words(query) for id in sharing.get(word, ()) if id != wanted]
            clicked = chance.choice(alike) if alike else wishes.draw(time_s, chance)
        if chance.random() < MISTYPED:
            query = _mistyped(query, chance)
        if log and chance.random() < SECOND_VISIT:
            user = chance.choice(log[-300:]).user_id
        else:
            users += 1
            user = f"u{users}"
        log.append(Click(time_s, query, clicked, user, wanted))
    return log


def oracle(shop: Shop, log: Sequence[Click], seed: int) -> list[int]:
    """Position (from 1) of what was clicked if documents were ordered by the probability with which the simulation
    itself draws them for the query at that time, and by id where that is equal; 0 = it does not draw them.

    Nobody can do better, in the mean.
    """
    world = _World.of(shop, seed)
    typed: dict[str, dict[str, float]] = defaultdict(dict)
    for id, (texts, weights) in world.queries.items():
        for text, weight in zip(texts, weights, strict=True):
            typed[text][id] = weight / sum(weights)
    meant: dict[str, dict[str, float]] = defaultdict(dict)
    for text in typed:
        meant[text][text] = 1 - MISTYPED
        for at in range(len(text)):
            for kind in range(TYPO_KINDS):
                of_typo = meant[_typo(text, at, kind)]
                of_typo[text] = of_typo.get(text, 0.0) + MISTYPED / len(text) / TYPO_KINDS
    positions = []
    for click in log:
        wanted = world.wishes.weights(click.time_s)
        chances: dict[str, float] = defaultdict(float)
        for text, likely in meant[click.query].items():
            drawn = {id: likely * share * wanted[id] for id, share in typed[text].items()}
            alike = [id for word in words(text) for id in world.sharing.get(word, ())]
            for id, chance in drawn.items():
                chances[id] += (1 - NOISE) * chance
            for id in alike:
                chances[id] += NOISE * sum(drawn.values()) / len(alike)
        own = (-chances.get(click.document_id, 0.0), click.document_id)
        positions.append(1 + sum((-chance, id) < own for id, chance in chances.items()) if own[0] else 0)
    return positions


class _Wishes:
    """Which document is wanted at a time: weights by day, so that a draw is a search in sums."""

    def __init__(self, ids: Sequence[str], chance: random.Random) -> None:
        self._ids = ids
        base = zipf(len(ids), 0.9, chance)
        later = list(base)
        moved = chance.sample(range(len(ids)), int(DRIFT_SHARE * len(ids)))
        for i, j in zip(moved, chance.sample(moved, len(moved)), strict=True):
            later[i] = base[j]
        new = {i: chance.uniform(5, 0.8 * DAYS) for i in chance.sample(range(len(ids)), int(NEW_SHARE * len(ids)))}
        bursts = {
            i: (begin := chance.uniform(0, DAYS - 2), begin + chance.uniform(1, 2))
            for i in chance.sample(range(len(ids)), int(BURST_SHARE * len(ids)))
        }
        self._sums = []
        for hour in range(DAYS * 24 + 1):
            day = hour / 24
            weights = [(base if day < DAYS / 2 else later)[i] for i in range(len(ids))]
            for i, (begin, end) in bursts.items():
                if begin <= day < end:
                    weights[i] *= BURST
            for i, begin in new.items():
                if day < begin:
                    weights[i] = 0.0
                else:  # much wanted at first
                    weights[i] *= 1 + 5 * math.exp(-(day - begin) / 4)
            self._sums.append(list(accumulate(weights)))

    def weights(self, time_s: float) -> dict[str, float]:
        """By document, how much it is wanted at this time."""
        sums = self._sums[int((time_s - BEGIN_S) / 3_600)]
        return dict(zip(self._ids, (sum - before for before, sum in pairwise([0.0, *sums])), strict=True))

    def draw(self, time_s: float, chance: random.Random) -> str:
        """A document wanted at this time."""
        sums = self._sums[int((time_s - BEGIN_S) / 3_600)]
        return self._ids[min(bisect(sums, chance.random() * sums[-1]), len(self._ids) - 1)]


def _queries(shop: Shop, chance: random.Random) -> dict[str, tuple[list[str], list[float]]]:
    """By document, the queries for it and how often each is typed."""
    frequency: dict[str, int] = defaultdict(int)
    for id, title in shop.titles.items():
        for word in set(words(f"{title} {shop.texts[id]}")):
            frequency[word] += 1
    found: dict[str, tuple[list[str], list[float]]] = {}
    for id, title in shop.titles.items():
        own, text = words(title), words(shop.texts[id])
        made = [" ".join(own[:n]) for n in (1, 2, 3, 4) if n <= len(own)]
        made.append(" ".join(own[:12]))
        rare = sorted((word for word in {*own, *text} if len(word) > 2), key=lambda word: (frequency[word], word))
        made += rare[:2]
        made += [f"{text[0]} {rare[0]}"] if text and rare else []
        made += [" ".join(text)] if text else []
        made += [" ".join(sorted(chance.sample(own, 2), key=own.index)) for _ in range(3) if len(own) > 2]
        made = [query for query in dict.fromkeys(made) if query]
        chance.shuffle(made)
        made = made[:QUERIES_PER_DOCUMENT]
        weighted = {query: 1.0 / rank for rank, query in enumerate(made, 1)}
        for query, grades in shop.judged.items():
            if id in grades:
                weighted[query] = weighted.get(query, 0.0) + GRADED_WEIGHT * grades[id] / max(grades.values())
        if not weighted:
            weighted = {id: 1.0}
        found[id] = (list(weighted), list(weighted.values()))
    return found


def zipf(count: int, power: float, chance: random.Random) -> list[float]:
    """Weights 1 / rank ** power, in random order."""
    weights = [1.0 / rank**power for rank in range(1, count + 1)]
    chance.shuffle(weights)
    return weights


def _mistyped(query: str, chance: random.Random) -> str:
    return _typo(query, chance.randrange(len(query)), chance.randrange(TYPO_KINDS))


def _typo(query: str, at: int, kind: int) -> str:
    if kind == 0 and len(query) > 3:
        return query[:at] + query[at + 1 :]
    if kind == 1 and at + 1 < len(query):
        return query[:at] + query[at + 1] + query[at] + query[at + 2 :]
    return query[:at] + query[at] + query[at:]


SHOPS = {"chorus-icecat": icecat_shop, "cpcd-music": music_shop}


def write(shop: Shop, log: Sequence[Click], folder: Path) -> None:
    """Writes documents.jsonl and log.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "documents.jsonl").open("w") as file:
        for id, title in shop.titles.items():
            row = {"id": id, "type": "product", "title": title, "text": shop.texts[id]}
            file.write(json.dumps({key: value for key, value in row.items() if value}, ensure_ascii=False) + "\n")
    with (folder / "log.jsonl").open("w") as file:
        for click in log:
            action = {
                "time": round(click.time_s, 3),
                "query": click.query,
                "document_id": click.document_id,
                "user_id": click.user_id,
            }
            file.write(json.dumps(action, ensure_ascii=False) + "\n")


def main() -> None:
    """Writes one log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", choices=sorted(SHOPS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--searches", type=int, default=8_000)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    shop = SHOPS[wanted.collection](wanted.seed)
    if shop is None:
        raise SystemExit(f"there is no collection {wanted.collection} here")
    log = simulate(shop, wanted.searches, wanted.seed)
    write(shop, log, wanted.folder)
    print(f"{len(shop.titles)} documents, {len(log):,} searches of {len({c.query for c in log}):,} queries")


if __name__ == "__main__":
    main()
