"""The demo's catalogue: films with their people, companies and genres, from facts that come as a wheel.

The facts are Wikidata's (CC0), as SQLite in the wheel `bokeh-sampledata`. They hold no plots: a film's text is composed
of its facts. Casts are listed there by the alphabet, so the best-known names are put first here.
"""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import yaml

from honeyguide.documents import Document, Value
from honeyguide.errors import NotFound
from honeyguide.text import normalize

PERSON_FILMS_MIN = 5
COMPANY_FILMS_MIN = 2
CAST_MAX = 40
FILMS_IN_TEXT = 5
RELATED_FILMS_MAX = 20
BEST_FILMS = 10

CONFIGURATION = {
    "language": "en",
    "title_boost": 3,
    "types": [
        {"name": "film", "embedded": True},
        {"name": "genre", "embedded": True},
        {"name": "person", "embedded": False},
        {"name": "company", "embedded": False},
    ],
    "attributes": [
        {"name": "genre", "kind": "keyword", "searchable": True, "recognized": True},
        {"name": "director", "kind": "keyword", "searchable": True, "recognized": True, "boost": 2},
        {"name": "writer", "kind": "keyword", "searchable": True, "recognized": True},
        {"name": "cast", "kind": "keyword", "searchable": True, "recognized": True},
        {"name": "company", "kind": "keyword", "searchable": True, "recognized": True},
        {"name": "country", "kind": "keyword", "searchable": True, "recognized": True},
        {"name": "language", "kind": "keyword", "searchable": True, "recognized": True},
        {"name": "role", "kind": "keyword", "searchable": True, "recognized": True},
        {"name": "awards", "kind": "text", "searchable": True},
        {"name": "certificate", "kind": "keyword"},
        {"name": "year", "kind": "number", "recognized": True},
        {"name": "runtime_minutes", "kind": "number"},
        {"name": "critics_rating", "kind": "number"},
        {"name": "critics_fresh_percent", "kind": "number"},
        {"name": "critics_score", "kind": "number"},
        {"name": "reviews", "kind": "number"},
        {"name": "box_office_dollars", "kind": "number"},
        {"name": "oscars", "kind": "number"},
        {"name": "films", "kind": "number"},
    ],
}

_SUFFIXES = {"Jr.", "Jr", "Sr.", "Sr", "II", "III", "IV"}
_QUERY = """
SELECT o.ID AS id, o.Title AS title, o.Year AS year, o.Rating AS certificate, o.Runtime AS runtime, o.Genre AS genres,
  o.Released AS released, o.Director AS directors, o.Writer AS writers, o."Cast" AS actors, o.Metacritic AS score,
  o.Language AS languages, o.Country AS countries, o.Awards AS awards, o.Oscars AS oscars, t.Rating AS rating,
  t.Meter AS meter, t.Reviews AS reviews, t.BoxOffice AS box_office, t.Production AS companies
FROM omdb o JOIN tomatoes t USING (ID) ORDER BY o.ID
"""


@dataclass(slots=True)
class Film:
    """One film's facts; `popularity` is its reviews plus its box office in millions of dollars."""

    id: str
    title: str
    year: int
    released: str
    genres: list[str]
    directors: list[str]
    writers: list[str]
    actors: list[str]
    companies: list[str]
    countries: list[str]
    languages: list[str]
    awards: str
    numbers: dict[str, float]
    certificate: str
    popularity: float


@dataclass(slots=True)
class Name:
    """A person, company or genre, and the films that name it."""

    id: str
    title: str
    films: list[Film] = field(default_factory=list)
    roles: Counter[str] = field(default_factory=Counter)

    def best(self, count: int) -> list[Film]:
        """The best-known films, best known first."""
        return sorted(self.films, key=lambda film: (-film.popularity, film.id))[:count]

    @property
    def popularity(self) -> float:
        """Mean popularity of the ten best-known films, missing ones counting 0: on the films' own scale."""
        return sum(film.popularity for film in self.best(BEST_FILMS)) / BEST_FILMS


def read_documents() -> Iterator[Document]:
    """The whole catalogue: films first, then genres, companies and people.

    Raises:
        NotFound: the wheel with the facts is not installed.
    """
    films = list(_read_films(_database()))
    people = _names("person", films, {"actor": "actors", "director": "directors", "writer": "writers"})
    companies = _names("company", films, {"company": "companies"})
    genres = _names("genre", films, {"genre": "genres"})
    fame = {key: person.popularity for key, person in people.items()}
    documents = {
        "person": {key: name for key, name in people.items() if len(name.films) >= PERSON_FILMS_MIN},
        "company": {key: name for key, name in companies.items() if len(name.films) >= COMPANY_FILMS_MIN},
        "genre": genres,
    }
    for film in films:
        film.actors.sort(key=lambda actor: (-fame.get(_key(actor), 0.0), actor))
        yield _film(film, documents)
    for type in ("genre", "company", "person"):
        for name in documents[type].values():
            yield _name(type, name)


def write_jsonl(path: Path) -> int:
    """Writes the catalogue as `honeyguide index` reads it; returns the number of documents."""
    count = 0
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for document in read_documents():
            file.write(json.dumps(_record(document), ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    partial.replace(path)
    return count


def write_configuration(path: Path) -> None:
    """Writes the catalogue's configuration as `honeyguide index --config` reads it."""
    path.write_text(yaml.safe_dump(CONFIGURATION, sort_keys=False), encoding="utf-8")


def _database() -> Path:
    package = importlib.util.find_spec("bokeh_sampledata")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "_data" / "movies.db"
        if path.exists():
            return path
    raise NotFound("the film facts are missing: pip install bokeh-sampledata==2026.1")


def _read_films(path: Path) -> Iterator[Film]:
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        for row in connection.execute(_QUERY):
            numbers = {
                "year": row["year"],
                "runtime_minutes": row["runtime"],
                "critics_rating": row["rating"],
                "critics_fresh_percent": row["meter"],
                "critics_score": row["score"],
                "reviews": row["reviews"],
                "box_office_dollars": row["box_office"],
                "oscars": row["oscars"] or None,
            }
            yield Film(
                id=f"film:{row['id']}",
                title=row["title"],
                year=row["year"],
                released=row["released"],
                genres=_split(row["genres"]),
                directors=_split(row["directors"]),
                writers=_split(row["writers"]),
                actors=_split(row["actors"]),
                companies=_split(row["companies"]),
                countries=_split(row["countries"]),
                languages=_split(row["languages"]),
                awards=row["awards"] or "",
                numbers={key: float(value) for key, value in numbers.items() if value is not None},
                certificate=row["certificate"] or "",
                popularity=round((row["reviews"] or 0) + (row["box_office"] or 0) / 1e6, 1),
            )
    finally:
        connection.close()


def _split(joined: str | None) -> list[str]:
    """Names joined by commas, each once; a suffix such as "Jr." stays with the name before it."""
    names: list[str] = []
    for part in (part.strip() for part in (joined or "").split(",")):
        if part in _SUFFIXES and names:
            names[-1] = f"{names[-1]} {part}"
        elif part:
            names.append(part)
    return list(dict.fromkeys(names))


@lru_cache(maxsize=100_000)
def _key(name: str) -> str:
    return normalize(name)


def _names(type: str, films: Iterable[Film], fields: dict[str, str]) -> dict[str, Name]:
    """Everything that films name in these fields, by normalised name."""
    names: dict[str, Name] = {}
    for film in films:
        roles: dict[str, list[str]] = defaultdict(list)
        spelled: dict[str, str] = {}
        for role, field_name in fields.items():
            for title in getattr(film, field_name):
                key = _key(title)
                if key:
                    roles[key].append(role)
                    spelled.setdefault(key, title)
        for key, played in roles.items():
            name = names.setdefault(key, Name(f"{type}:{key.replace(' ', '-')}", spelled[key]))
            name.films.append(film)
            name.roles.update(played)
    return names


def _film(film: Film, documents: dict[str, dict[str, Name]]) -> Document:
    attributes: dict[str, tuple[Value, ...]] = {
        "genre": tuple(film.genres),
        "director": tuple(film.directors),
        "writer": tuple(film.writers),
        "cast": tuple(film.actors[:CAST_MAX]),
        "company": tuple(film.companies),
        "country": tuple(film.countries),
        "language": tuple(film.languages),
        "awards": (film.awards,) if film.awards else (),
        "certificate": (film.certificate,) if film.certificate else (),
        **{key: (number,) for key, number in film.numbers.items()},
    }
    named = [("person", film.directors), ("person", film.actors[:10]), ("company", film.companies[:3])]
    named.append(("genre", film.genres))
    keys = [(type, _key(title)) for type, titles in named for title in titles]
    related = dict.fromkeys(documents[type][key].id for type, key in keys if key in documents[type])
    return Document(
        id=film.id,
        type="film",
        title=film.title,
        text=_film_text(film),
        attributes={key: values for key, values in attributes.items() if values},
        popularity=film.popularity,
        created_at_s=datetime.fromisoformat(film.released).replace(tzinfo=UTC).timestamp(),
        related=tuple(related),
    )


def _film_text(film: Film) -> str:
    """A sentence for reading and for the embedding. Names of the cast would double its cost there, and say little."""
    text = f"{film.year} {' '.join(film.genres).lower()} film"
    if film.directors:
        text += f" by {_listed(film.directors[:2])}"
    if film.countries:
        text += f", {_listed(film.countries[:2])}"
    return f"{text}."


def _name(type: str, name: Name) -> Document:
    films = name.best(RELATED_FILMS_MAX)
    known_for = _listed([f"{film.title} ({film.year})" for film in films[:FILMS_IN_TEXT]])
    attributes: dict[str, tuple[Value, ...]] = {"films": (float(len(name.films)),)}
    if type == "person":
        roles = [role for role, _ in name.roles.most_common()]
        attributes["role"] = tuple(roles)
        text = f"{_listed(roles).capitalize()}, known for {known_for}."
    elif type == "company":
        text = f"Film company behind {known_for}."
    else:
        text = f"{name.title} films, for example {known_for}."
    return Document(
        id=name.id,
        type=type,
        title=name.title,
        text=text,
        attributes=attributes,
        popularity=round(name.popularity, 1),
        related=tuple(film.id for film in films),
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _record(document: Document) -> dict[str, object]:
    record: dict[str, object] = {
        "id": document.id,
        "type": document.type,
        "title": document.title,
        "text": document.text,
        "attributes": {
            name: values[0] if len(values) == 1 else list(values) for name, values in document.attributes.items()
        },
        "popularity": document.popularity,
        "related": list(document.related),
    }
    if document.created_at_s is not None:
        record["created_at"] = datetime.fromtimestamp(document.created_at_s, UTC).date().isoformat()
    return record
