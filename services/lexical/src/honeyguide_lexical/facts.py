"""Filters on the inverted index: every attribute value is a token, of whatever attribute, configured or not.

A value's token begins with a digest of the attribute's name, so that thousands of sparse attributes share one field.
Numbers and times are prefix-coded: the 64 bits of the double, in an order that compares like the number, are indexed
at several precisions, so that a range needs few terms (Schindler and Diepenbroek, "Generic XML-based framework for
metadata portals", Computers & Geosciences 34, 2008, describe the trie that numeric ranges in Lucene came from).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

import tantivy

from honeyguide.documents import Condition, Document, Filter, Value
from honeyguide_lexical.text_values import text_value

FACTS = "facts"
PRECISIONS = (4, 6, 8, 16)
"""Hex digits of a number's code that are indexed."""
TERMS_AS_CLAUSES_MAX = 16
"""Up to here single terms are faster than one automaton over all of them."""

Clause = tuple[tantivy.Occur, tantivy.Query]


def facts_of(document: Document) -> list[str]:
    """The tokens of all attribute values of a document."""
    tokens: list[str] = []
    for attribute, values in document.attributes.items():
        name = _name(attribute)
        for value in values:
            if isinstance(value, str):
                tokens.append(name + text_value(value).token)
            elif isinstance(value, bool):
                tokens.append(f"{name}b{value:d}")
            else:
                tokens += _number_tokens(name, value.timestamp() if isinstance(value, datetime) else value)
    return list(dict.fromkeys(tokens))


def filter_clauses(schema: tantivy.Schema, filter: Filter) -> list[Clause]:
    """Clauses that admit exactly the documents for which `Filter.matches`; they add nothing to the score."""
    clauses: list[Clause] = []
    if filter.types:
        clauses.append((tantivy.Occur.Must, silent(any_term(schema, "type", filter.types))))
    clauses.extend((tantivy.Occur.Must, silent(condition_query(schema, c))) for c in filter.conditions)
    if filter.excluded_ids:
        clauses.append((tantivy.Occur.MustNot, any_term(schema, "id", filter.excluded_ids)))
    clauses.extend((tantivy.Occur.MustNot, condition_query(schema, c)) for c in filter.excluded_conditions)
    return clauses


def condition_query(schema: tantivy.Schema, condition: Condition) -> tantivy.Query:
    """Documents for which `Condition.matches`."""
    name = _name(condition.attribute)
    if condition.any_of is not None:
        return any_term(schema, FACTS, {token for value in condition.any_of for token in _equal_tokens(name, value)})
    pattern = "|".join(_range_patterns(_code(condition.low), _code(condition.high)))
    if not pattern:
        return tantivy.Query.empty_query()
    return tantivy.Query.regex_query(schema, FACTS, f"{name}n({pattern})")


def any_term(schema: tantivy.Schema, field: str, terms: Iterable[str]) -> tantivy.Query:
    """Documents that have one of the terms in a field."""
    wanted = sorted(terms)
    if not wanted:
        return tantivy.Query.empty_query()
    if len(wanted) <= TERMS_AS_CLAUSES_MAX:
        queries = [tantivy.Query.term_query(schema, field, term, "basic") for term in wanted]
        if len(queries) == 1:
            return queries[0]
        return tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in queries])
    return tantivy.Query.term_set_query(schema, field, wanted)


def silent(query: tantivy.Query) -> tantivy.Query:
    """The same query, adding nothing to the score."""
    return tantivy.Query.const_score_query(query, 0.0)


@lru_cache(maxsize=16_384)
def _name(attribute: str) -> str:
    return hashlib.blake2b(attribute.encode(), digest_size=10).hexdigest()


@lru_cache(maxsize=65_536)
def _number_tokens(name: str, number: float) -> tuple[str, ...]:
    code = f"{_code(number):016x}"
    return tuple([f"{name}n{code[:digits]}" for digits in PRECISIONS])


def _equal_tokens(name: str, value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield name + text_value(value).token
        return
    # In Python True == 1.0, and so it is for `Condition.matches`: each finds the other.
    yield f"{name}n{_code(float(value) if not isinstance(value, datetime) else value.timestamp()):016x}"
    if value in (0.0, 1.0):
        yield f"{name}b{int(value == 1.0)}"


def _code(number: float) -> int:
    """An unsigned 64-bit integer that compares like the number (-0.0 is 0.0)."""
    bits: int = struct.unpack(">Q", struct.pack(">d", number + 0.0))[0]
    return bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63)


def _range_patterns(low: int, high: int) -> Iterator[str]:
    """Patterns of the fewest blocks of 16^n codes that make up [low, high], neighbours joined."""
    end = high + 1
    while low < end:
        level = 0
        while level < 15 and low % 16 ** (level + 1) == 0 and low + 16 ** (level + 1) <= end:
            level += 1
        size = 16**level
        first = low // size % 16
        count = min((end - low) // size, 16 - first)
        low_digits = f"{low // size:0{16 - level}x}"
        low += count * size
        digits = len(low_digits)
        precision = next(p for p in PRECISIONS if p >= digits)
        yield f"{low_digits[:-1]}[{first:x}-{first + count - 1:x}]" + "[0-9a-f]" * (precision - digits)
