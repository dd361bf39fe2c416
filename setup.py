"""Puts the samples into what is built; all else stands in setup.cfg."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSamples(build_py):
    """Builds the package with `data_samples/` inside; an editable installation finds that folder beside the package."""

    def run(self) -> None:
        """Copies the package, then the samples."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "progressive_tf" / "data_samples"
            shutil.rmtree(target, ignore_errors=True)  # files of an earlier build that are no samples any more
            shutil.copytree("data_samples", target, ignore=shutil.ignore_patterns("__pycache__", "*.py"))


setup(cmdclass={"build_py": BuildWithSamples})
