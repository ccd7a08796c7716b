"""What a node allows itself, by what it sees of its machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from cluster import catalog, keys
from cluster.nodes.registry import NodeReport
from cluster.settings import Settings
from cluster.wire import MAP
from cluster.worker import admission, host, politeness
from cluster.worker.host import _Cpu
from cluster.worker.politeness import Policy, Reading
from cluster.worker.room import Room

MIB = 2**20
GIB = 2**30


def reading(**seen: Any) -> Reading:
    """A calm machine with much memory, but for what was seen."""
    calm = {"others_cores": 0.0, "on_battery": False, "memory_available_bytes": 8 * GIB, "memory_total_bytes": 16 * GIB}
    return Reading(**{**calm, **seen})


def allowed(slots: int = 4, config: Settings | None = None, **seen: Any) -> tuple[int, str]:
    found = politeness.allowed(reading(**seen), slots, config or Settings())
    return found.slots, found.held_back


def test_a_calm_machine_gives_all_its_slots() -> None:
    assert allowed(4) == (4, "")
    assert allowed(4, others_cores=0.4) == (4, "")
    assert allowed(4, Settings(slots_idle=3)) == (3, "")


def test_a_machine_in_use_gives_half_of_its_slots_but_one() -> None:
    assert allowed(4, others_cores=0.6) == (2, "in use")
    assert allowed(5, others_cores=3.0) == (2, "in use")
    assert allowed(1, others_cores=3.0) == (1, "")


def test_the_limit_in_use_is_as_set() -> None:
    assert allowed(4, Settings(slots_in_use=0), others_cores=0.6) == (0, "in use")
    assert allowed(4, Settings(slots_in_use=3), others_cores=0.6) == (3, "in use")
    assert allowed(4, Settings(slots_in_use=64), others_cores=0.6) == (4, "")
    assert allowed(4, Settings(in_use_cores=2), others_cores=1.9) == (4, "")


def test_a_machine_on_battery_is_in_use() -> None:
    assert allowed(4, on_battery=True) == (2, "on battery")


def test_each_slot_that_does_not_fit_above_the_floor_is_given_back() -> None:
    config = Settings(slot_memory_bytes=400 * MIB, memory_floor_bytes=GIB)
    assert allowed(4, config, memory_available_bytes=GIB + 1600 * MIB) == (4, "")
    assert allowed(4, config, memory_available_bytes=GIB + 1599 * MIB) == (3, "memory low")
    assert allowed(4, config, memory_available_bytes=GIB + 1 * MIB) == (1, "memory low")
    assert allowed(4, config, memory_available_bytes=GIB - 1 * MIB) == (0, "memory low")


def test_what_the_nodes_own_chunks_hold_is_no_reason_to_give_back() -> None:
    config = Settings(slot_memory_bytes=400 * MIB, memory_floor_bytes=GIB)
    own = {"node_bytes": 1500 * MIB, "largest_bytes": 400 * MIB}
    assert allowed(4, config, memory_available_bytes=GIB + 100 * MIB, **own) == (4, "")


def test_chunks_larger_than_planned_leave_fewer_slots() -> None:
    config = Settings(slot_memory_bytes=400 * MIB, memory_floor_bytes=GIB)
    own = {"node_bytes": 2 * GIB, "largest_bytes": GIB}
    assert allowed(4, config, memory_available_bytes=2 * GIB, **own) == (3, "memory low")


def test_the_floor_is_the_reserve_but_an_eighth_of_a_small_machine() -> None:
    config = Settings(reserve_memory_bytes=512 * MIB)
    assert politeness.floor_bytes(reading(), config) == 512 * MIB
    assert politeness.floor_bytes(reading(memory_total_bytes=512 * MIB), config) == 64 * MIB
    assert allowed(1, config, memory_total_bytes=512 * MIB, memory_available_bytes=100 * MIB) == (1, "")


def test_without_a_floor_memory_is_no_reason() -> None:
    assert allowed(4, Settings(memory_floor_bytes=0), memory_available_bytes=0) == (4, "")


def test_memory_runs_out_below_a_quarter_of_the_floor_and_nothing_is_taken_then() -> None:
    config = Settings(memory_floor_bytes=GIB)
    short = {"memory_available_bytes": 255 * MIB, "node_bytes": 4 * GIB, "largest_bytes": 4 * GIB}
    assert politeness.runs_out(reading(**short), config)
    assert allowed(4, config, **short) == (0, "memory low")
    assert not politeness.runs_out(reading(memory_available_bytes=256 * MIB), config)
    config = Settings(memory_floor_bytes=0, memory_minimum_bytes=GIB)
    assert politeness.runs_out(reading(memory_available_bytes=GIB - 1), config)


def test_slots_are_given_back_at_once_and_taken_again_after_the_calm() -> None:
    policy = Policy(Settings(calm_s=30))
    calm, busy = reading(), reading(others_cores=2.0)
    seen = [(0.0, calm), (1.0, busy), (2.0, calm), (31.9, calm), (32.0, calm), (33.0, busy)]
    assert [policy.decide(read, 4, at).slots for at, read in seen] == [4, 2, 2, 2, 4, 2]


def test_a_calm_that_is_broken_starts_anew() -> None:
    policy = Policy(Settings(calm_s=30))
    calm, busy = reading(), reading(others_cores=2.0)
    seen = [(0.0, busy), (10.0, calm), (39.0, busy), (40.0, calm), (69.0, calm), (70.0, calm)]
    assert [policy.decide(read, 4, at).slots for at, read in seen] == [2, 2, 2, 2, 2, 4]


def test_the_cpu_of_others_is_what_is_neither_ours_nor_of_low_priority() -> None:
    before = _Cpu(moment_s=100, busy_s=1000, nice_s=500, ours_s=50, ours_user_s=40)
    # Of 20 s in all: ours 8 (7 of them user, and so of low priority), low priority of others 2; 10 are left.
    after = _Cpu(moment_s=110, busy_s=1020, nice_s=509, ours_s=58, ours_user_s=47)
    assert host.others_cores(before, after) == pytest.approx(1.0)
    # The same where the system tells no low priority apart.
    assert host.others_cores(before, after._replace(nice_s=500)) == pytest.approx(1.2)
    assert host.others_cores(before, before) == 0


def supplies(folder: Path, monkeypatch: pytest.MonkeyPatch, **found: dict[str, str]) -> None:
    for name, files in found.items():
        (folder / name).mkdir()
        for file, text in files.items():
            (folder / name / file).write_text(f"{text}\n")
    monkeypatch.setattr(host, "POWER_SUPPLIES", folder)
    monkeypatch.setattr("sys.platform", "linux")


BATTERY = {"type": "Battery", "status": "Discharging"}


def test_a_laptop_that_is_not_plugged_in_is_on_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supplies(tmp_path, monkeypatch, AC={"type": "Mains", "online": "0"}, BAT0=BATTERY)
    assert host.on_battery()
    (tmp_path / "AC" / "online").write_text("1\n")
    assert not host.on_battery()


def test_the_battery_of_a_mouse_is_not_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supplies(tmp_path, monkeypatch, hidpp_battery_0={**BATTERY, "scope": "Device"})
    assert not host.on_battery()


def test_a_machine_without_a_battery_is_not_on_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supplies(tmp_path, monkeypatch)
    assert not host.on_battery()


def test_rows_of_older_nodes_still_parse() -> None:
    report = NodeReport.model_validate_json(
        '{"slots": 2, "busy": 0, "done": 0, "cores": 2, "memory_total_bytes": 1, "memory_available_bytes": 1,'
        ' "load": 0, "jobs": [], "versions": {}}'
    )
    assert (report.slots_allowed, report.held_back) == (None, "")


@pytest.fixture
def closed() -> tuple[admission.Admission, Any]:
    """An admission that lets nothing in, and a channel that would."""
    found = admission.Admission.__new__(admission.Admission)
    found._allowed, found._closed, found.room = politeness.Allowance(0), False, Room(3, 1)
    found.paused_by = ""
    channel = SimpleNamespace(_in_poll=None, qos=SimpleNamespace(can_consume=lambda: True))
    found._stand_before(channel)
    return found, channel


def test_an_admission_lets_in_what_is_allowed(closed: tuple[admission.Admission, Any]) -> None:
    found, channel = closed
    assert not channel.qos.can_consume()
    found._allowed = politeness.Allowance(1)
    assert channel.qos.can_consume()


def test_an_admission_lets_in_nothing_while_people_have_paused_it(closed: tuple[admission.Admission, Any]) -> None:
    found, channel = closed
    found._allowed, found.paused_by = politeness.Allowance(3, "in use"), "maria"
    assert not channel.qos.can_consume()
    assert (found.limit, found.allowance.held_back) == (0, "by maria")
    found.paused_by = ""
    assert channel.qos.can_consume()
    assert (found.limit, found.allowance.held_back) == (3, "in use")


def test_an_admission_lets_in_what_its_memory_has_place_for(
    closed: tuple[admission.Admission, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, channel = closed
    found._allowed, found.expected = politeness.Allowance(3), lambda: ["heavy"]
    monkeypatch.setattr(catalog, "chunk_memory_bytes", {"heavy": 2}.get)
    request = SimpleNamespace(type=MAP, delivery_info={"routing_key": keys.queue("heavy")})
    monkeypatch.setattr(state, "reserved_requests", [])
    assert channel.qos.can_consume()
    monkeypatch.setattr(state, "reserved_requests", [request])
    assert not channel.qos.can_consume(), "another one would take 4 of 3"
    found.expected = list
    assert channel.qos.can_consume()


def test_an_answer_that_is_on_its_way_is_read_though_admission_is_closed(
    closed: tuple[admission.Admission, Any],
) -> None:
    _, channel = closed
    channel._in_poll = object()
    assert channel.qos.can_consume()


def test_a_replica_takes_a_slot_but_never_the_last(closed: tuple[admission.Admission, Any]) -> None:
    found, _ = closed
    found.replicas = lambda: 3
    limits = []
    for slots in (0, 1, 3, 5):
        found._allowed = politeness.Allowance(slots)
        limits.append(found.limit)
    assert limits == [0, 1, 1, 2]
