"""Tells uv which package index pip is told to use, and pip what uv is told.

Prints one `export` for each variable that a shell is to set in addition; what is set already stays. What pip's files
say counts where this Python has pip. Runs on any Python from 3.8 on.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

# A setting of pip, and the variables that say the same to uv, first the one that uv prefers.
SAME = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "proxy": ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
}


def pip_setting(name: str) -> str:
    """Returns the variable that says to pip what a setting of its files says."""
    return "PIP_" + name.upper().replace("-", "_")


def pip_files() -> dict[str, str]:
    """Returns the settings in pip's files that hold for `pip install`; nothing where there is no pip."""
    listed = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    lines = re.findall(r"^(global|install)\.([a-z-]+)=(.+)$", listed, re.MULTILINE)
    return {name: str(ast.literal_eval(value)) for _, name, value in sorted(lines)}  # of install rather than global


def there(location: str) -> bool:
    """Says whether uv can look at a location: it stops at a folder that is not there, which pip passes over."""
    path = re.sub(r"^file://", "", location)
    return "://" in path or Path(path).exists()


def for_uv(name: str, value: str) -> str:
    """Returns pip's value in the form in which uv reads it."""
    if name in ("extra-index-url", "find-links"):
        return (" " if name == "extra-index-url" else ",").join(filter(there, value.split()))
    return " ".join(value.split())


def for_pip(name: str, value: str) -> str:
    """Returns uv's value in the form in which pip reads it: without the names that uv lets indexes have."""
    items = value.split("," if name == "find-links" else None)
    return " ".join(re.sub(r"^[A-Za-z0-9._-]+=", "", item) for item in items)


def main() -> None:
    """Runs the command."""
    told = os.environ
    files = pip_files()
    added = {}
    for name, variables in SAME.items():
        of_pip = told.get(pip_setting(name)) or files.get(name, "")
        of_uv = next((told[variable] for variable in variables if told.get(variable)), "")
        if of_pip and not of_uv:
            added[variables[0]] = for_uv(name, of_pip)
        elif of_uv and not of_pip and name != "proxy":  # pip reads that itself, and NO_PROXY with it
            added[pip_setting(name)] = for_pip(name, of_uv)
    # pip takes a version from whichever index has it. The lock's hashes say which file that may be.
    if (told.get("UV_INDEX") or added.get("UV_INDEX")) and "UV_INDEX_STRATEGY" not in told:
        added["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    for variable, value in added.items():
        if value:
            print(f"export {variable}={shlex.quote(value)}")
    if (told.get("PIP_NO_INDEX") or files.get("no-index", "")).lower() in ("1", "true", "yes", "on"):
        print("no_index=--no-index")  # uv has no variable for this


if __name__ == "__main__":
    main()
