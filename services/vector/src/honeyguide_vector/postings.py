"""Which rows have which type and attribute values: filters answered without looking at every row."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from honeyguide.documents import Condition, Filter, Value, comparable
from honeyguide_vector.graph import Rows

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
    """One value of one attribute, and the rows that have it, in their order.

    Most values are of few documents: a set would take 200 bytes for one row, and 50 for each of many.
    """

    __slots__ = ("home", "key", "rows")

    def __init__(self, home: dict[Key, _Term], key: Key) -> None:
        self.home = home
        self.key = key
        self.rows = array("i")

    def add(self, row: int) -> None:
        if not self.rows or self.rows[-1] < row:
            self.rows.append(row)
        else:
            self.rows.insert(bisect_left(self.rows, row), row)

    def remove(self, row: int) -> None:
        del self.rows[bisect_left(self.rows, row)]


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
            term.rows.frombytes(np.sort(lists.rows[end - count : end]).astype(np.intc).tobytes())
            for row in term.rows:
                terms[row].append(term)
        postings._terms = list(map(tuple, terms))
        return postings

    def lists(self) -> PostingLists:
        """Everything, to be saved."""
        found = [(Term(None, str.__name__, term.key), term.rows) for term in self._types.values()]
        for (attribute, kind), home in self._values.items():
            found += [(Term(attribute, kind.__name__, term.key), term.rows) for term in home.values()]
        counts = np.array([len(rows) for _, rows in found], np.int64)
        return PostingLists([term for term, _ in found], counts, _joined(rows for _, rows in found))

    def rows_by_type(self) -> dict[str, int]:
        """How many rows there are of each type."""
        return {str(name): len(term.rows) for name, term in self._types.items()}

    def __contains__(self, row: int) -> bool:
        return row < len(self._terms) and bool(self._terms[row])

    def put(self, row: int, type_name: str, attributes: Mapping[str, tuple[Value, ...]]) -> None:
        """Enters a row, or what it has now."""
        self._terms += [()] * (row + 1 - len(self._terms))
        self._set(row, {id(term): term for term in self._terms_of(type_name, attributes)})

    def remove(self, row: int) -> None:
        """Takes a row out, if it is in."""
        if row in self:
            self._set(row, {})

    def _set(self, row: int, terms: Mapping[int, _Term]) -> None:
        before = {id(term): term for term in self._terms[row]}
        for term in [term for key, term in before.items() if key not in terms]:
            term.remove(row)
            if not term.rows:
                del term.home[term.key]
        for term in [term for key, term in terms.items() if key not in before]:
            term.add(row)
        self._terms[row] = tuple(terms.values())

    def matching(self, filter: Filter) -> Rows:
        """Rows that satisfy the filter's types and conditions, in their order; its excluded ids are not looked at."""
        found = [self._with_condition(condition) for condition in filter.conditions]
        if filter.types:
            found.append(_union([self._types[name].rows for name in filter.types if name in self._types]))
        if not found:
            found.append(np.flatnonzero(np.fromiter(map(bool, self._terms), np.bool_, len(self._terms))))
        rows, *others = sorted(found, key=len)
        for other in others:
            rows = rows[self._mask(other)[rows]]
        for condition in filter.excluded_conditions:
            rows = rows[~self._mask(self._with_condition(condition))[rows]]
        return rows

    def _mask(self, rows: Rows) -> npt.NDArray[np.bool_]:
        mask = np.zeros(len(self._terms), np.bool_)
        mask[rows] = True
        return mask

    def _terms_of(self, type_name: str, attributes: Mapping[str, tuple[Value, ...]]) -> list[_Term]:
        terms = [_term(self._types, type_name)]
        for name, values in attributes.items():
            for value in values:
                key = comparable(value)
                terms.append(_term(self._home(name, type(key)), key))
        return terms

    def _home(self, attribute: str, kind: type) -> dict[Key, _Term]:
        return self._values.setdefault((attribute, kind), {})

    def _with_condition(self, condition: Condition) -> Rows:
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


def _union(lists: list[array[int]]) -> Rows:
    rows = _joined(lists)
    if len(lists) > 1:
        rows.sort()
        # Not numpy.unique: its first call imports numpy.ma, which takes longer than a search may.
        rows = rows[np.flatnonzero(np.diff(rows, prepend=-1))]
    return rows


def _joined(lists: Iterable[array[int]]) -> Rows:
    joined = array("i")
    for rows in lists:
        joined.extend(rows)
    return np.array(joined, np.int64)
