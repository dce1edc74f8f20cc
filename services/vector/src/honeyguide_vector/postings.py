"""Which rows have which type and attribute values: filters answered without looking at every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from honeyguide.documents import Condition, Filter, Value, comparable

Key = str | float | bool

_KINDS: Mapping[str, type] = {kind.__name__: kind for kind in (str, float, bool)}


class Term(NamedTuple):
    """One value of an attribute, and of which kind it is; a type where the attribute is None."""

    attribute: str | None
    kind: str
    key: Key


@dataclass(frozen=True, slots=True)
class PostingLists:
    """Terms, how many rows have each, and these rows one after the other."""

    terms: list[Term]
    counts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


class _Term:
    """One value of one attribute, and the rows that have it."""

    __slots__ = ("home", "key", "rows")

    def __init__(self, home: dict[Key, _Term], key: Key) -> None:
        self.home = home
        self.key = key
        self.rows: set[int] = set()


class Postings:
    """Rows by type and attribute value, as `honeyguide.documents.Filter.matches` compares them.

    Texts, numbers and flags are kept apart, because True equals 1.0 but lies in no range.
    """

    def __init__(self) -> None:
        self._types: dict[Key, _Term] = {}
        self._values: dict[tuple[str, type], dict[Key, _Term]] = {}
        self._terms: list[tuple[_Term, ...]] = []  # by row; none = the row is not in

    @classmethod
    def of_lists(cls, lists: PostingLists, rows: int) -> Postings:
        """Postings as `lists` told them, of rows below a number."""
        postings = cls()
        terms: list[list[_Term]] = [[] for _ in range(rows)]
        ends = np.cumsum(lists.counts).tolist()
        for (attribute, kind, key), count, end in zip(lists.terms, lists.counts.tolist(), ends, strict=True):
            home = postings._types if attribute is None else postings._home(attribute, _KINDS[kind])
            term = _term(home, key)
            members = lists.rows[end - count : end].tolist()
            term.rows.update(members)
            for row in members:
                terms[row].append(term)
        postings._terms = list(map(tuple, terms))
        return postings

    def lists(self) -> PostingLists:
        """Everything, to be saved."""
        found = [(Term(None, str.__name__, term.key), term.rows) for term in self._types.values()]
        for (attribute, kind), home in self._values.items():
            found += [(Term(attribute, kind.__name__, term.key), term.rows) for term in home.values()]
        counts = np.array([len(rows) for _, rows in found], np.int64)
        rows = np.fromiter((row for _, some in found for row in some), np.int64, int(counts.sum()))
        return PostingLists([term for term, _ in found], counts, rows)

    def __contains__(self, row: int) -> bool:
        return row < len(self._terms) and bool(self._terms[row])

    def add(self, row: int, type_name: str, attributes: Mapping[str, tuple[Value, ...]]) -> None:
        """Enters a row that is not in yet."""
        terms = {id(term): term for term in self._terms_of(type_name, attributes)}
        for term in terms.values():
            term.rows.add(row)
        self._terms += [()] * (row + 1 - len(self._terms))
        self._terms[row] = tuple(terms.values())

    def remove(self, row: int) -> None:
        """Takes a row out, if it is in."""
        if row not in self:
            return
        for term in self._terms[row]:
            term.rows.discard(row)
            if not term.rows:
                del term.home[term.key]
        self._terms[row] = ()

    def matching(self, filter: Filter) -> set[int]:
        """Rows that satisfy the filter's types and conditions; its excluded ids are not looked at."""
        sets = [self._with_condition(condition) for condition in filter.conditions]
        if filter.types:
            sets.append(_union([self._types[name].rows for name in filter.types if name in self._types]))
        if not sets:
            return {row for row, terms in enumerate(self._terms) if terms}
        first, *others = sorted(sets, key=len)
        return first.intersection(*others)

    def _terms_of(self, type_name: str, attributes: Mapping[str, tuple[Value, ...]]) -> list[_Term]:
        terms = [_term(self._types, type_name)]
        for name, values in attributes.items():
            for value in values:
                key = comparable(value)
                terms.append(_term(self._home(name, type(key)), key))
        return terms

    def _home(self, attribute: str, kind: type) -> dict[Key, _Term]:
        return self._values.setdefault((attribute, kind), {})

    def _with_condition(self, condition: Condition) -> set[int]:
        if condition.any_of is None:
            numbers = self._values.get((condition.attribute, float), {})
            return _union([t.rows for t in numbers.values() if condition.low <= float(t.key) <= condition.high])
        found = []
        for key in condition.any_of:
            for kind in (str,) if isinstance(key, str) else (float, bool):
                term = self._values.get((condition.attribute, kind), {}).get(key)
                if term is not None:
                    found.append(term.rows)
        return _union(found)


def _term(home: dict[Key, _Term], key: Key) -> _Term:
    term = home.get(key)
    if term is None:
        term = home[key] = _Term(home, key)
    return term


def _union(sets: list[set[int]]) -> set[int]:
    # One set is handed out as it is: callers only read it.
    return sets[0] if len(sets) == 1 else set().union(*sets)
