"""A folder of models."""

from __future__ import annotations

from pathlib import Path

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.registry.journal import JOURNAL_NAME
from progressive_tf.registry.keys import Keys
from progressive_tf.registry.lock import WAIT_SECONDS
from progressive_tf.registry.versions import ModelVersions


class Registry:
    """The registry in a folder; the folder appears with the first version that is published.

    Args:
        root: the registry's folder.
        wait_seconds: how long to wait for another process that is writing to the same model.
        keys: whose signatures count and what is signed with; those that the environment names by default.
    """

    def __init__(self, root: Path, wait_seconds: float = WAIT_SECONDS, keys: Keys | None = None) -> None:
        self.root = root
        self.wait_seconds = wait_seconds
        self.keys = Keys.read() if keys is None else keys

    def model(self, name: str) -> ModelVersions:
        """Returns a model's versions, which may not exist yet.

        Raises:
            InputError: `name` cannot name a model.
        """
        return ModelVersions(self.root, name, self.wait_seconds, self.keys)

    def existing_model(self, name: str) -> ModelVersions:
        """Returns the versions of a model that has a journal.

        Raises:
            InputError: there is none with this name, or no registry.
        """
        model = self.model(name)
        if not model.exists:
            raise InputError(unknown_name("model", name, [known.name for known in self.models()]))
        return model

    def models(self) -> tuple[ModelVersions, ...]:
        """Returns every model that has a journal, by name.

        Raises:
            InputError: the registry's folder does not exist.
        """
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no registry here; name one with --registry, or promote a stage first")
        return tuple(self.model(path.parent.name) for path in sorted(self.root.glob(f"*/{JOURNAL_NAME}")))
