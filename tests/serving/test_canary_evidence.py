from __future__ import annotations

from pathlib import Path

from serving_fakes import two_versions

from progressive_tf.registry.history import ALIAS, CANARY, SHADOW, STABLE, WIDEN
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving.canary_evidence import counted_now, steps_of_rollout


def test_a_canarys_own_moves_begin_its_steps() -> None:
    events = [
        (ALIAS, STABLE),
        (ALIAS, CANARY),  # of an earlier rollout
        (ALIAS, CANARY),
        (ALIAS, SHADOW),
        (WIDEN, CANARY),
        ("pause", CANARY),
        ("proved", CANARY),
        (ALIAS, STABLE),
        (WIDEN, CANARY),
    ]
    entries = [Entry(event, alias=alias, id=place) for place, (event, alias) in enumerate(events, 1)]
    assert steps_of_rollout(entries) == [3, 5, 9]


def test_without_a_canary_or_a_server_nothing_counts(tmp_path: Path) -> None:
    traffic = Traffic(two_versions(tmp_path))
    assert counted_now(traffic, tmp_path) == (0, 0)
    traffic.start_canary(2, 10)
    assert counted_now(traffic, tmp_path) == (0, 0)
