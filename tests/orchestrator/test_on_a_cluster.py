"""What the orchestrator keeps, on a Redis Cluster: no script may cross hash slots; replies are a single server's."""

from __future__ import annotations

from tests.orchestrator.conftest import Opened
from tests.orchestrator.decision_records import decision_record

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide_orchestrator.catalog_facts import NumericAttribute, SeenNumeric
from honeyguide_orchestrator.catalog_store import CatalogStore
from honeyguide_orchestrator.decision_log import DecisionLog
from honeyguide_orchestrator.event_stream import Event, EventStream
from honeyguide_orchestrator.keys import Keys
from honeyguide_orchestrator.lease import Lease
from honeyguide_orchestrator.snapshot import SnapshotStore

KEYS = Keys("hg")


async def test_everything_is_kept_on_a_cluster(cluster_url: str, opened_redis: Opened) -> None:
    async with opened_redis(cluster_url, cluster=True) as store:
        ids = [f"d{i}" for i in range(20)]
        log = DecisionLog(store, KEYS, keep_s=60.0, decisions_max=15)
        for id in ids:
            await log.append(decision_record(id))
        await log.settle({id: {"x": 1.0} for id in ids})
        positions = dict(await log.read("0", 100))
        assert list(positions.values()) == ids
        assert positions[await log.before_newest(5)] == "d14"
        assert await log.forget() == 5
        assert list(await log.fetch(ids)) == ids[5:] == list(await log.rewards(ids))

        stream = EventStream(store, KEYS, partitions=4, events_max=1_000)
        events = [Event(id=f"e{i}", document_id="x", action="click") for i in range(40)]
        assert await stream.append(events, 5.0) == [True] * 40
        assert await stream.append(events[:3], 6.0) == [False] * 3
        assert sorted(event.id for _, _, event in await stream.read({}, 100)) == sorted(event.id for event in events)

        ours, theirs = (Lease(store, KEYS.lease, 5.0) for _ in range(2))
        assert [await ours.hold(), await ours.hold(), await theirs.hold()] == [True, True, False]
        snapshots = SnapshotStore(store, KEYS)
        assert await snapshots.publish({"a": 1}, ours.token, 7.0, 0) == 1
        newest = await snapshots.fetch()
        assert newest is not None
        assert newest.content == {"a": 1}
        await ours.release()
        assert await theirs.hold()

        catalog = CatalogStore(store, "hg")
        year = indexing_pb2.CatalogConfiguration(attributes=[indexing_pb2.AttributeConfiguration(name="year")])
        await catalog.set_configuration(year)
        assert await catalog.configuration() == year
        await catalog.widen_numeric(SeenNumeric({"year": NumericAttribute("year", False, 1990.0, 2000.0, 2)}, 2))
        await catalog.widen_numeric(SeenNumeric({"year": NumericAttribute("year", False, 1980.5, 1995.0, 3)}, 4))
        assert await catalog.numeric() == SeenNumeric({"year": NumericAttribute("year", False, 1980.5, 2000.0, 5)}, 6)
