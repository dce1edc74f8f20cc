"""Editors' picks: a retrieval strategy of one's own, in plain Python with only `honeyguide` installed."""

import json
from collections import defaultdict
from contextlib import nullcontext

import numpy as np
from pydantic import Field, FilePath
from pydantic_settings import SettingsConfigDict

from honeyguide.candidates import Candidates
from honeyguide.config import CommonSettings, ServerSettings, load
from honeyguide.retriever import Need, Strategy, ask_each
from honeyguide.server import run_service
from honeyguide.servicers import register_retriever
from honeyguide.text import words


class EditorsSettings(ServerSettings):
    """Read from HONEYGUIDE_EDITORS_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="HONEYGUIDE_EDITORS_", frozen=True, extra="ignore")
    picks_file: FilePath = Field(description='JSON: word -> [{"id": ..., "type": ...}, ...], best first')


class Editors:
    """What editors chose by hand for the words of a query."""

    strategies = (Strategy("editors.picks", "Chosen by hand for a word of the query.", needs=(Need.QUERY,)),)

    def __init__(self, picks):
        self._picks = picks

    async def retrieve(self, query, depths):
        """Answers the strategies asked; there is only one."""
        return await ask_each({"editors.picks": lambda: self._fetch(query, depths["editors.picks"])})

    async def _fetch(self, query, depth):
        scores, types = defaultdict(float), {}
        for word in words(query.query):
            for rank, pick in enumerate(self._picks.get(word, ()), start=1):
                if query.filter.matches(pick["id"], pick["type"], attributes=None):
                    scores[pick["id"]] += 1 / rank
                    types[pick["id"]] = pick["type"]
        top = sorted(scores, key=scores.get, reverse=True)[:depth]
        columns = np.array([scores[id] for id in top], np.float32), [types[id] for id in top]
        return Candidates(top, *columns, total_matched=len(scores))


if __name__ == "__main__":
    settings = load(EditorsSettings)
    editors = Editors(json.loads(settings.picks_file.read_text()))
    run_service("editors", load(CommonSettings), settings, lambda: nullcontext([register_retriever(editors)]))
