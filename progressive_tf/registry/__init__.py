"""Versions of released models: immutable folders, a journal that says what happened, aliases that can move."""

from progressive_tf.registry.errors import (
    CanaryTakenError,
    RegistryBusyError,
    RegistryError,
    RegistryUnwritableError,
    StableMovedError,
)
from progressive_tf.registry.folder import Damage
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.staged import Forced, StagedVersion
from progressive_tf.registry.store import Registry
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions

__all__ = [
    "CanaryTakenError",
    "Damage",
    "Entry",
    "Forced",
    "ModelVersions",
    "Registry",
    "RegistryBusyError",
    "RegistryError",
    "RegistryUnwritableError",
    "StableMovedError",
    "StagedVersion",
    "Version",
]
