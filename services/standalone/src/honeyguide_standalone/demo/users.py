"""Simulated users: what each of them wants, and how they ask for it.

None of this is known to Honeyguide: it sees queries, contexts and clicks only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from honeyguide_standalone.demo.world import Item, Ranked, World

HABITS = {"title": 0.35, "person": 0.2, "browse": 0.18, "topic": 0.15, "ambiguous": 0.12}
HABIT_SHARE = 0.7
RETURN_SHARE = 0.2
REMEMBERED_WISHES = 8
CONTENT_WITH = 3
BROWSER_CONTENT_WITH = 6
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ARTICLES = {"the", "a", "an"}
LANGUAGES = {"french": "French", "german": "German", "spanish": "Spanish", "italian": "Italian", "japanese": "Japanese"}

# What people say, and the films they mean by it: genres (all of them) and words in the title (any of them).
TOPICS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (("funny love story", "feel good romance", "light hearted date movie"), ("Romance", "Comedy"), ()),
    (("sad love story", "tearjerker", "heartbreaking romance"), ("Romance", "Drama"), ()),
    (("space adventure", "spaceships and aliens", "journey to another planet"), ("Sci-Fi", "Adventure"), ()),
    (("scary movie", "something terrifying", "frightening night in"), ("Horror",), ()),
    (("ghost story", "haunted house"), (), ("ghost", "ghosts", "haunting", "haunted", "house", "poltergeist")),
    (("vampires", "bloodsuckers at night"), (), ("vampire", "vampires", "dracula", "twilight", "blade")),
    (("zombies", "the undead"), (), ("zombie", "zombies", "dead", "zombieland")),
    (("whodunit", "murder mystery", "detective solves a case"), ("Mystery", "Crime"), ()),
    (("gangsters", "mafia bosses", "organised crime family"), ("Crime", "Drama"), ()),
    (("cowboys", "gunfight in the old west"), ("Western",), ()),
    (("soldiers in battle", "world war combat"), ("War",), ()),
    (("life of a famous person", "true life story"), ("Biography",), ()),
    (("cartoon for kids", "animated fun for children"), ("Animation",), ()),
    (("superheroes", "masked hero saves the city"), (), ("batman", "spider", "iron", "avengers", "superman", "men")),
    (("wizards and magic", "spells and witches"), (), ("harry", "potter", "rings", "wizard", "magic", "witch")),
    (("dinosaurs", "prehistoric monsters"), (), ("jurassic", "dinosaur", "godzilla", "kong")),
    (("robots", "artificial intelligence", "machines against humans"), (), ("robot", "terminator", "transformers")),
    (("pirates at sea", "treasure and ships"), (), ("pirates", "pirate", "treasure", "ship", "sea")),
    (("christmas film", "holiday season with santa"), (), ("christmas", "santa", "grinch", "scrooge")),
    (("songs and dancing", "singing on stage"), ("Musical",), ()),
    (("boxing and football", "athletes win against the odds"), ("Sport",), ()),
    (("dark psychological thriller", "mind bending suspense"), ("Thriller", "Mystery"), ()),
    (("kings and queens", "royal court intrigue"), (), ("king", "queen", "kings", "princess", "prince")),
    (("nature and animals", "wildlife documentary"), ("Documentary",), ()),
    (("spies", "secret agents", "espionage"), (), ("spy", "bond", "agent", "bourne", "mission", "goldeneye", "spies")),
    (("car chases", "fast cars and racing"), (), ("fast", "furious", "cars", "race", "speed", "rush", "drive")),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing somebody wants: the kind of searcher, what they type, and the documents that would do."""

    kind: str
    query: str
    wanted: frozenset[str]


class SimulatedUser:
    """One user with a habit: most of their wishes are of one kind, and now and then an old one comes back."""

    def __init__(self, world: World, number: int, seed: int, begin: int = 0) -> None:
        """User `number` of a seed; `begin` (searches simulated before) makes a later run's wishes new ones."""
        self.id = f"simulated-{number}"
        self._world = world
        self._random = Random(f"user {seed} {number}")
        self._habit = self._draw_kind()
        # How much this user means people, genres and companies, not films, by a word that can be either.
        self._meaning = {
            "film": self._random.gammavariate(2.0, 1.0),
            "person": self._random.gammavariate(0.6, 1.0),
            "genre": self._random.gammavariate(0.4, 1.0),
            "company": self._random.gammavariate(0.3, 1.0),
        }
        self._random = Random(f"wishes {seed} {number} {begin}")
        self._past: list[Wish] = []
        self._makers: dict[str, Callable[[], Wish]] = {
            "title": self._title,
            "person": self._person,
            "browse": self._browse,
            "topic": self._topic,
            "ambiguous": self._ambiguous,
        }

    def wish(self) -> Wish:
        """The next thing this user wants."""
        if self._past and self._random.random() < RETURN_SHARE:
            return self._random.choice(self._past)
        kind = self._habit if self._random.random() < HABIT_SHARE else self._draw_kind()
        wish = self._makers[kind]()
        self._past = [*self._past, wish][-REMEMBERED_WISHES:]
        return wish

    def _draw_kind(self) -> str:
        return self._random.choices(list(HABITS), weights=list(HABITS.values()))[0]

    def _title(self) -> Wish:
        film = self._world.known_films.draw(self._random)
        title = film.title.lower()
        parts = title.split()
        manner = self._random.random()
        if manner < 0.25 and len(parts) > 2:
            kept = [part for part in parts if part not in ARTICLES]
            length = max(2, round(len(kept) * self._random.uniform(0.4, 0.8)))
            begin = self._random.randrange(max(1, len(kept) - length + 1))
            title = " ".join(kept[begin : begin + length])
        elif manner < 0.5:
            title = misspell(title, self._random)
        elif manner < 0.6:
            title = f"{title} {film.year}"
        return Wish("title", title, frozenset({film.id}))

    def _person(self) -> Wish:
        person = self._world.known_people.draw(self._random)
        name = person.title.lower()
        films = [id for id in person.related if id in self._world.by_id]
        manner = self._random.random()
        if manner < 0.2:
            query, themselves = f"{name} movies", 0.0
        else:
            query, themselves = misspell(name, self._random) if manner < 0.4 else name, 0.45
        if not films or self._random.random() < themselves:
            return Wish("person", query, frozenset({person.id}))
        some = Ranked(films, exponent=1.2, shift=0.5).draw_some(self._random, CONTENT_WITH)
        return Wish("person", query, frozenset(some))

    def _browse(self) -> Wish:
        while True:
            genre = self._random.choice(sorted(self._world.known_films.draw(self._random).genres) or ["Drama"])
            year = self._world.known_films.draw(self._random).year
            decade = year // 10 * 10
            query, years, language = self._random.choice(
                [
                    (f"{genre} {year}", (year, year), ""),
                    (f"{genre} {decade}s", (decade, decade + 9), ""),
                    (f"{decade % 100:02d}s {genre} movies", (decade, decade + 9), ""),
                    (f"best {genre} of {year}", (year, year), ""),
                    *((f"{word} {genre}", None, name) for word, name in LANGUAGES.items() if year % 5 == len(word) % 5),
                ]
            )
            pool = self._world.films_where([genre], years, language)
            if len(pool) >= BROWSER_CONTENT_WITH:
                return Wish("browse", query.lower(), self._some_of(pool))

    def _topic(self) -> Wish:
        phrases, genres, title_words = self._random.choice(TOPICS)
        pool = self._world.films_where(genres, title_words=title_words)
        return Wish("topic", self._random.choice(phrases), self._some_of(pool))

    def _ambiguous(self) -> Wish:
        word = self._world.ambiguous.draw(self._random)
        named = self._world.named(word)
        type = self._random.choices(list(named), weights=[self._meaning[type] for type in named])[0]
        item: Item = Ranked(named[type], exponent=1.2, shift=0.5).draw(self._random)
        return Wish("ambiguous", word, frozenset({item.id}))

    def _some_of(self, pool: list[Item]) -> frozenset[str]:
        some = Ranked(pool, exponent=1.0).draw_some(self._random, BROWSER_CONTENT_WITH)
        return frozenset(item.id for item in some)


def misspell(text: str, random: Random) -> str:
    """One slip in one of the longer words: two letters swapped, one left out, doubled or hit beside."""
    parts = text.split(" ")
    long = [i for i, part in enumerate(parts) if len(part) > 3 and part.isalpha()]
    if not long:
        return text
    i = random.choice(long)
    word = parts[i]
    at = random.randrange(1, len(word) - 1)
    slip = random.randrange(4)
    if slip == 0:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif slip == 1:
        word = word[:at] + word[at + 1 :]
    elif slip == 2:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + random.choice(LETTERS) + word[at + 1 :]
    parts[i] = word
    return " ".join(parts)
