"""What a process is among several that sweep together."""

from __future__ import annotations

import os

CHIEF = "chief"


def role() -> str | None:
    """Returns what this process is among several that sweep together: `chief`, `worker`, or None where it is alone.

    Keras Tuner's environment variables say it: KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT and KERASTUNER_TUNER_ID.
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    return CHIEF if CHIEF in os.environ.get("KERASTUNER_TUNER_ID", "") else "worker"
