"""Load while versions come, go and share callers: not one failed or mixed answer."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from serving_fakes import LONGEST, MODEL, release, wait_until
from serving_process import Server, running

from progressive_tf.registry import ModelVersions
from progressive_tf.registry.traffic import Traffic

pytestmark = pytest.mark.slow

MOVES, CALLERS = 50, 8
# Answers between two moves, and after how many moves the memory is taken as what a server needs.
BETWEEN, FEW, GROWTH_MB = 50, 5, 100


@dataclass
class Heard:
    """What callers were answered, by version, and what was wrong."""

    versions: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def ask_until(over: threading.Event, port: int, caller: str, heard: Heard) -> None:
    """Asks again and again, one, two or three texts of several lengths, over one connection."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST)) as connection:
        for turn in itertools.count():
            if over.is_set() or heard.wrong:
                break
            texts = ["word " * (1 + (turn * place) % 40) for place in range(1, 2 + turn % 3)]
            body = json.dumps({"instances": texts, "key": f"{caller} {turn % 50}"})
            try:
                connection.request("POST", f"/v1/models/{MODEL}:predict", body)
                answer = connection.getresponse()
                hear(heard, answer.status, json.loads(answer.read()), texts)
            except (OSError, http.client.HTTPException, ValueError) as error:
                heard.wrong.append(repr(error))


def hear(heard: Heard, status: int, found: Any, texts: list[str]) -> None:
    """Notes the version of an answer, and whether anything in it is not that version's."""
    if status != 200:
        heard.wrong.append(f"{status} {found}")
        return
    version = int(found["version"])
    heard.versions[version] += 1
    for text, each in zip(texts, found["predictions"], strict=True):
        if each["label"] != f"says {text}" or abs(each["probabilities"][0] - version / 100) > 1e-6:
            heard.wrong.append(f"version {version}: {each}")


def moves(model: ModelVersions) -> Iterator[None]:
    """Moves aliases, one move at a time: new versions, canaries, shadows, rollbacks."""
    traffic = Traffic(model)
    for number in itertools.count(3, 3):
        release(model, number)
        yield
        release(model, number + 1, alias=None)
        traffic.start_canary(number + 1, 30, "a new one")
        yield
        traffic.widen(60)
        yield
        release(model, number + 2, alias=None)
        traffic.start_shadow(number + 2)
        yield
        if number % 2:
            traffic.widen(100)
            yield
            model.rollback("back")
        else:
            traffic.pause()
            yield
            traffic.withdraw("canary", "enough")
        yield


def test_no_answer_fails_or_mixes_versions_under_load(model: ModelVersions) -> None:
    with running(model, "--max-batch", "8") as server:
        heard = [Heard() for _ in range(CALLERS)]
        over = threading.Event()
        threads = [
            threading.Thread(target=ask_until, args=(over, server.port, f"caller {index}", each), daemon=True)
            for index, each in enumerate(heard)
        ]
        for thread in threads:
            thread.start()
        memory = 0.0
        for made, _ in enumerate(itertools.islice(moves(model), MOVES), start=1):
            wait_until(lambda: serves(server, model), every=0.1)
            goal = answered(heard) + BETWEEN
            wait_until(lambda goal=goal: answered(heard) >= goal or any(each.wrong for each in heard))
            memory = memory or (server.memory_mb() if made == FEW else 0.0)
        over.set()
        for thread in threads:
            thread.join()
        assert [wrong for each in heard for wrong in each.wrong] == []
        versions = sum((each.versions for each in heard), Counter())
        assert set(versions) <= set(range(1, len(model.versions()) + 1))
        assert len(versions) > MOVES / 4
        assert server.memory_mb() - memory < GROWTH_MB


def answered(heard: list[Heard]) -> int:
    """Returns how many answers all callers got."""
    return sum(sum(each.versions.values()) for each in heard)


def serves(server: Server, model: ModelVersions) -> bool:
    """Returns whether the server has come to what the journal says, and let go of everything else."""
    ready, aliases = server.ask("/readyz"), model.aliases()
    in_memory = server.ask(f"/v1/models/{MODEL}")["model_version_status"]
    is_alone = {int(each["version"]) for each in in_memory} == set(aliases.values())
    return not ready["problems"] and ready["aliases"] == aliases and is_alone
