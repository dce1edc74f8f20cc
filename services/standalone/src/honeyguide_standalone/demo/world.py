"""What simulated users know of the catalogue: names, facts and how well known everything is."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Generic, TypeVar

from honeyguide.text import words

KNOWN_FILMS = 4_000
KNOWN_PEOPLE = 1_500
POOL = 50
AMBIGUOUS_WORDS = 120
AMBIGUOUS_DOCUMENTS = 6
COMMON_WORD_SHARE = 0.01

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """One document as people know it."""

    id: str
    type: str
    title: str
    popularity: float
    year: int
    genres: frozenset[str]
    languages: frozenset[str]
    related: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        """The normalised words of the title."""
        return frozenset(words(self.title))


class Ranked(Generic[T]):
    """Items drawn by rank: the r-th with probability proportional to 1 / (r + shift) ** exponent (Zipf-Mandelbrot)."""

    def __init__(self, items: Sequence[T], exponent: float, shift: float = 1.0) -> None:
        self.items = items
        self._weights = list(accumulate(1.0 / (rank + shift) ** exponent for rank in range(1, len(items) + 1)))

    def draw(self, random: Random) -> T:
        """One item."""
        return random.choices(self.items, cum_weights=self._weights)[0]

    def draw_some(self, random: Random, count: int) -> list[T]:
        """Up to so many items; one may be drawn twice and is then given once."""
        return list(dict.fromkeys(self.draw(random) for _ in range(count)))


class World:
    """The catalogue as people know it."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.by_id = {item.id: item for item in items}
        best_first = sorted(self.by_id.values(), key=lambda item: (-item.popularity, item.id))
        self.films = [item for item in best_first if item.type == "film"]
        self.people = [item for item in best_first if item.type == "person"]
        self.known_films = Ranked(self.films[:KNOWN_FILMS], exponent=0.9, shift=10)
        self.known_people = Ranked(self.people[:KNOWN_PEOPLE], exponent=0.9, shift=10)
        self._pools: dict[tuple[object, ...], list[Item]] = {}
        self.ambiguous = Ranked(self._ambiguous_words(best_first), exponent=0.8)

    def films_where(
        self,
        genres: Iterable[str] = (),
        years: tuple[int, int] | None = None,
        language: str = "",
        title_words: Iterable[str] = (),
    ) -> list[Item]:
        """Up to 50 films, best known first, that satisfy everything given.

        They have all these genres, are of these years (both included) and in this language, and have any of these
        words in the title.
        """
        key = (tuple(genres), years, language, tuple(title_words))
        if key not in self._pools:
            wanted_genres, wanted_words = frozenset(key[0]), frozenset(key[3])
            self._pools[key] = [
                film
                for film in self.films
                if wanted_genres <= film.genres
                and (years is None or years[0] <= film.year <= years[1])
                and (not language or language in film.languages)
                and (not wanted_words or not wanted_words.isdisjoint(film.words))
            ][:POOL]
        return self._pools[key]

    def named(self, word: str) -> dict[str, list[Item]]:
        """What a word of `ambiguous` may mean: the best-known documents with it in their title, by type."""
        return self._named[word]

    def _ambiguous_words(self, best_first: Sequence[Item]) -> list[str]:
        """Words in the names of well-known documents of at least two types, most popular first."""
        known = self.films[:2_000] + self.people[:1_000]
        known += [item for item in best_first if item.type in {"genre", "company"}][:300]
        frequency = Counter(word for item in self.by_id.values() for word in set(words(item.title)))
        named: dict[str, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
        for item in sorted(known, key=lambda item: (-item.popularity, item.id)):
            for word in set(words(item.title)):
                if len(word) > 2 and frequency[word] < COMMON_WORD_SHARE * len(self.by_id):
                    meant = named[word][item.type]
                    if len(meant) < AMBIGUOUS_DOCUMENTS:
                        meant.append(item)
        several = {word: dict(by_type) for word, by_type in named.items() if len(by_type) > 1}

        def weight(word: str) -> float:
            return sum(items[0].popularity for items in several[word].values())

        chosen = sorted(several, key=lambda word: (-weight(word), word))[:AMBIGUOUS_WORDS]
        self._named = {word: several[word] for word in chosen}
        return chosen


def read_world(path: Path) -> World:
    """Reads the world from the catalogue's JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        return World(_item(json.loads(line)) for line in file)


def _item(record: dict[str, object]) -> Item:
    attributes = record["attributes"]
    if not isinstance(attributes, dict):
        attributes = {}

    def texts(name: str) -> frozenset[str]:
        value = attributes.get(name, [])
        return frozenset(value if isinstance(value, list) else [value])

    related = record["related"]
    return Item(
        id=str(record["id"]),
        type=str(record["type"]),
        title=str(record["title"]),
        popularity=float(str(record["popularity"])),
        year=int(attributes.get("year", 0)),
        genres=texts("genre"),
        languages=texts("language"),
        related=tuple(related) if isinstance(related, list) else (),
    )
