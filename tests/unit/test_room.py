"""How many chunks fit into the memory of a node."""

import pytest

from cluster import catalog, settings
from cluster.settings import MiB, Settings
from cluster.worker import capacity
from cluster.worker.room import Room
from tests.kit.nodes import a_node

UNITS = {"light": None, "heavy": 2, "giant": 9}


@pytest.fixture(autouse=True)
def _jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(capability: str) -> int | None:
        if capability == "odd":
            raise TypeError("a job's own mistake")
        return UNITS[capability]

    monkeypatch.setattr(catalog, "chunk_memory_bytes", told)


def places(room: Room, *expected: str, working: tuple[str, ...] = ()) -> int:
    """How many chunks of the heaviest kind are let in beside those that work."""
    now = list(working)
    while room.has_place(now, expected) and len(now) < 20:
        now.append(max(expected, key=room.of))
    return len(now) - len(working)


def test_light_chunks_fill_all_slots() -> None:
    assert places(Room(3, 1), "light") == 3


def test_only_as_many_heavy_chunks_as_fit_are_let_in() -> None:
    assert places(Room(3, 1), "heavy") == 1
    assert places(Room(4, 1), "heavy") == 2
    assert places(Room(4, 1), "light", "heavy", working=("light",)) == 1


def test_the_heaviest_that_may_come_must_fit() -> None:
    room = Room(3, 1)
    assert room.has_place(["light"], ["light", "heavy"])
    assert not room.has_place(["light", "light"], ["light", "heavy"])
    assert room.has_place(["light", "light"], ["light"])


def test_one_chunk_is_let_in_however_heavy() -> None:
    assert places(Room(3, 1), "giant") == 1


def test_replicas_of_services_take_memory_too() -> None:
    room = Room(4, 1)
    room.beside_bytes = 1
    assert places(room, "heavy") == 1


def test_what_only_joins_parts_takes_the_memory_of_a_slot() -> None:
    assert Room(3, 1).taken_bytes(["", "heavy"]) == 3


def test_a_job_that_cannot_tell_takes_the_memory_of_a_slot() -> None:
    assert Room(3, 1).of("odd") == 1


def test_chunks_share_what_the_slots_are_planned_with_or_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "memory", lambda: capacity.Memory(8192 * MiB, 4096 * MiB))
    config = settings.load()
    assert capacity.chunk_memory_bytes(config, 2) == 4096 * MiB - config.reserve_memory_bytes
    assert capacity.chunk_memory_bytes(Settings(slot_memory_bytes=3000 * MiB), 2) == 6000 * MiB


def test_a_node_tells_how_many_chunks_fit() -> None:
    node = a_node(slots=3, chunk_memory_bytes=3, chunk_memory_taken_bytes=2, busy=1)
    assert [node.fitting(3, each) for each in (None, 1, 2, 9)] == [3, 3, 1, 1]
    assert [node.free_for(each) for each in (None, 1, 2)] == [2, 1, 0]
    assert a_node(slots=3, busy=1).free_for(2) == 2, "one that does not tell is taken at its slots"
    assert a_node(slots=3, chunk_memory_bytes=3).free_for(9) == 1
