"""scripts/setup, with a lock of one package, a PATH of its own, and installers that note what they are asked for."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from script_module import load_script

ROOT = Path(__file__).resolve().parents[1]
REAL = os.path.realpath(sys.executable)
VERSION = f"{sys.version_info.major}{sys.version_info.minor}"
TOOLS = ["sh", "awk", "cat", "cp", "cut", "date", "dirname", "flock", "getconf", "grep", "head", "ls", "mkdir", "mv"]
TOOLS += ["printf", "rm", "sha256sum", "sleep", "tail", "touch", "uname", "wc"]
UV = f"""#!/bin/sh
case "$1" in --version) exit ;; esac
echo "$@" "cache=${{UV_CACHE_DIR:-}} index=${{UV_DEFAULT_INDEX:-}}" >>asked
[ ! -e fails ] || {{ echo "error: no such index"; exit 1; }}
case "$*" in
    venv*) exec {REAL} -m venv --without-pip --clear .venv ;;
    *"-e .") info=$(ls -d .venv/lib/python*/site-packages)/progressive_tf-0.dist-info
        mkdir -p "$info" && printf 'Name: progressive-tf\\nVersion: 0\\n' >"$info/METADATA" ;;
esac
"""
# A Python that says which version it is, whatever runs it; its pip has nothing but uv, and its venv such a pip.
PYTHON = f"""#!/bin/sh
case "$*" in
    --version) echo "Python {{version}}" ;;
    *ensurepip*) exit 1 ;;
    "-c import sys; "*) exec {REAL} -c "import sys; sys.version_info = ({{numbers}}); ${{{{2#import sys; }}}}" ;;
    *index_settings.py) exec {REAL} "$@" ;;
    *"-m pip"*) [ -e {{has}}-pip ] || exit 1
        case "$*" in
            *install*) echo "$@" "index=${{{{PIP_INDEX_URL:-}}}}" >>asked
                [ ! -e offline ] || {{{{ echo "ERROR: no route to the index"; exit 1; }}}}
                mkdir -p .uv/fetched/bin && cp stub-uv .uv/fetched/bin/uv ;;
        esac ;;
    *"-m venv"*) [ -e has-venv ] || exit 1
        mkdir -p .uv/fetched/bin && cp python-of-venv .uv/fetched/bin/python ;;
    *) exit 1 ;;
esac
"""


def program(path: Path, text: str) -> None:
    """Writes a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def python(version: str, has: str = "has") -> str:
    """Returns a Python that says it is of a version."""
    return PYTHON.format(version=version, numbers=version.replace(".", ", "), has=has)


def clone(folder: Path) -> Path:
    """Returns a checkout with an empty lock, no Python on its PATH, and uv where `stub-uv` is copied from."""
    for name in ("scripts", "requirements", "programs", "home"):
        (folder / name).mkdir(parents=True)
    for name in ("setup", "own-settings", "progress", "installed.py", "index_settings.py"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts")
    for name in ("setup.cfg", "pyproject.toml", f"requirements/py{VERSION}.txt"):
        (folder / name).touch()
    shutil.copy(ROOT / "requirements" / "uv.txt", folder / "requirements")
    for name in TOOLS:
        (folder / "programs" / name).symlink_to(str(shutil.which(name)))
    program(folder / "stub-uv", UV)
    program(folder / "python-of-venv", python("3.13.0", has="venv"))
    (folder / "venv-pip").touch()
    return folder


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Returns the variables that scripts/setup sees."""
    return {"PATH": str(folder / "programs"), "HOME": str(folder / "home"), "PIP_CONFIG_FILE": os.devnull, **variables}


def set_up(folder: Path, **variables: str) -> tuple[int, str, int]:
    """Returns exit code, stderr, and how often packages were installed into .venv."""
    (folder / "asked").unlink(missing_ok=True)
    ended = subprocess.run(
        ["scripts/setup"], cwd=folder, env=environment(folder, **variables), capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stderr, sum(line.startswith("pip install") for line in asked(folder))


def asked(folder: Path) -> list[str]:
    """Returns what the installers were asked for in the last run."""
    return (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []


@pytest.mark.slow
def test_setup_installs_once_and_starts_anew_where_it_must(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    (folder / "programs" / "python").symlink_to(REAL)
    program(folder / "programs" / "uv", UV)
    lock = folder / "requirements" / f"py{VERSION}.txt"
    lock.write_text("nothing-of-this-name==1\n")

    code, err, _ = set_up(folder)
    assert code == 1
    assert "nothing-of-this-name is not in .venv as locked" in err

    lock.write_text("")
    code, err, installed = set_up(folder)
    assert (code, installed) == (0, 3)
    assert "making .venv anew: an earlier setup was interrupted" in err
    assert f"installing requirements/py{VERSION}.txt into .venv" in err
    ready = err.splitlines()[-1]
    assert ready.startswith("setup: ready: .venv (Python 3.")
    assert set_up(folder) == (0, f"{ready}\n", 0)

    (folder / "fails").touch()
    lock.write_text("# changed\n")
    code, err, _ = set_up(folder)
    assert code == 1
    assert "no such index" in err
    assert ".setup.log" in err
    (folder / "fails").unlink()

    moved = folder.rename(tmp_path / "elsewhere")
    (moved / ".venv" / "installing").unlink()
    code, err, installed = set_up(moved)
    assert (code, installed) == (0, 3)
    assert "making .venv anew: it was made in another folder" in err

    (moved / ".venv" / "bin" / "python").unlink()
    (moved / ".venv" / "bin" / "python").symlink_to("/gone/python3")
    code, err, installed = set_up(moved)
    assert (code, installed) == (0, 3)
    assert "making .venv anew: its Python is gone" in err

    anothers = (moved / ".venv").rename(tmp_path / "environment")
    (moved / ".venv").symlink_to(anothers)
    (anothers / "bin" / "activate").write_text("of another checkout")
    code, err, installed = set_up(moved)
    assert (code, installed) == (0, 3)
    assert "what it leads to stays" in err
    assert (anothers / "installed").is_file()
    assert not (moved / ".venv").is_symlink()

    code, err, installed = set_up(moved, PYTHON="/bin/false")
    assert (code, installed) == (2, 0)
    assert "PYTHON=/bin/false: Python 3.10, 3.11, 3.12 or 3.13 expected" in err


@pytest.mark.parametrize(
    ("name", "version", "has"),
    [
        ("python3", "3.8.1", "has-pip"),
        ("python3", "3.15.0", "has-venv"),
        ("python3.14", "3.14.0", "has-pip"),
        ("python", "3.9.18", "has-venv"),
    ],
)
def test_any_python_fetches_the_uv_that_brings_the_right_one(tmp_path: Path, name: str, version: str, has: str) -> None:
    folder = clone(tmp_path / "a clone")
    program(folder / "programs" / name, python(version))
    (folder / has).touch()

    code, err, installed = set_up(folder, UV_INDEX_URL="https://index.example/simple")
    assert (code, installed) == (0, 3)
    assert f"needs Python 3.10, 3.11, 3.12 or 3.13 and found Python {version}" in err
    assert "fetching uv from the package index" in err
    assert "--require-hashes" in asked(folder)[0]
    assert "index=https://index.example/simple" in asked(folder)[0]
    assert asked(folder)[1].startswith("venv --clear --python 3.11 .venv")
    assert [path.name for path in (folder / ".uv").rglob("*")] == ["bin", "uv"]
    assert set_up(folder) == (0, err.splitlines()[-1] + "\n", 0)


def test_where_no_uv_can_be_had_one_message_says_what_to_install(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    code, err, _ = set_up(folder)
    assert code == 2
    assert "found no Python 3." in err
    assert "Install Python 3.10, 3.11, 3.12 or 3.13 with venv" in err

    program(folder / "programs" / "python3", python("3.14.1"))
    code, err, _ = set_up(folder)  # neither pip nor venv
    assert code == 2
    assert "found Python 3.14.1" in err
    assert "uv could not be fetched" in err
    assert "Install Python 3.10, 3.11, 3.12 or 3.13 with venv" in err

    (folder / "has-pip").touch()
    (folder / "offline").touch()
    code, err, _ = set_up(folder)
    assert code == 2
    assert "ERROR: no route to the index\nsetup: uv could not be fetched; the lines above say why." in err
    assert "HTTPS_PROXY" in err
    assert not (folder / ".venv").exists()

    (folder / "offline").unlink()
    assert set_up(folder)[0] == 0


def test_a_python_without_venv_is_named(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    program(folder / "programs" / "python3.11", python("3.11.7"))
    code, err, _ = set_up(folder)
    assert code == 2
    assert "python3.11 has no venv and ensurepip" in err
    assert "python3.11-venv" in err


def test_uv_that_cannot_bring_a_python_is_one_message_and_a_second_run_mends_it(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    program(folder / "programs" / "uv", UV)
    (folder / "fails").touch()
    code, err, installed = set_up(folder)
    assert (code, installed) == (2, 0)
    assert "error: no such index\nsetup: uv could not make .venv with Python 3.11" in err
    assert "UV_PYTHON_INSTALL_MIRROR" in err

    (folder / "fails").unlink()
    assert set_up(folder, PIP_INDEX_URL="https://index.example/simple")[0] == 0
    installed_from = [line.rpartition("index=")[2] for line in asked(folder) if line.startswith("pip install")]
    assert installed_from == ["https://index.example/simple"] * 3


def test_with_a_home_that_cannot_be_written_uv_keeps_its_things_in_the_checkout(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    program(folder / "programs" / "uv", UV)
    assert set_up(folder, HOME="/none")[0] == 0
    assert f"cache={folder}/.uv/cache" in asked(folder)[0]

    shutil.rmtree(folder / ".venv")
    assert set_up(folder)[0] == 0
    assert "cache= " in asked(folder)[0]


@pytest.mark.parametrize("version", [pytest.param("3.12.1", marks=pytest.mark.slow), "3.13.0"])
def test_of_several_pythons_the_first_that_makes_a_venv_is_taken(tmp_path: Path, version: str) -> None:
    folder = clone(tmp_path / "a clone")
    program(folder / "programs" / "uv", UV)
    program(folder / "programs" / "python3.14", python("3.14.0"))
    program(folder / "programs" / "python3.10", python("3.10.2"))
    program(folder / "programs" / f"python{version[:4]}", python(version))
    _, err, _ = set_up(folder)
    assert f"making .venv with python{version[:4]}" in err
    program(folder / "programs" / "python3.11", python("3.11.9"))
    shutil.rmtree(folder / ".venv")
    assert "making .venv with python3.11" in set_up(folder)[1]
    assert (
        f"making .venv-other with python{version[:4]}"
        in set_up(folder, VENV=".venv-other", PYTHON=f"python{version[:4]}")[1]
    )
    assert (folder / ".venv").exists()


def on(folder: Path, system: str, machine: str) -> None:
    """Has a checkout be on another system."""
    names = f'case "$1" in -s) echo {system} ;; -m) echo {machine} ;; *) echo {system} {machine} ;; esac\n'
    replace(folder / "programs" / "uname", f"#!/bin/sh\n{names}")


@pytest.mark.parametrize("machine", ["arm64", "x86_64"])
def test_other_systems_are_shown_the_way_out(tmp_path: Path, machine: str) -> None:
    folder = clone(tmp_path / "a clone")
    on(folder, "Darwin", machine)
    code, err, _ = set_up(folder)
    assert code == 2
    assert f"this is Darwin {machine}, for which the locked packages are not chosen" in err
    line = 'docker run --rm -it -v "$PWD":/work -w /work python:3.13 bash'
    assert line in err
    assert line in (ROOT / "README.md").read_text(encoding="utf-8")


def test_on_aarch64_it_is_one_of_the_later_pythons(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    on(folder, "Linux", "aarch64")
    program(folder / "programs" / "uv", UV)
    program(folder / "programs" / "python3.11", python("3.11.9"))
    _, err, _ = set_up(folder)
    assert "making .venv with Python 3.13, which uv brings" in err
    assert asked(folder)[0].startswith("venv --clear --python 3.13 .venv")

    shutil.rmtree(folder / ".venv", ignore_errors=True)
    program(folder / "programs" / "python3.12", python("3.12.1"))
    assert "making .venv with python3.12" in set_up(folder)[1]


@pytest.mark.parametrize(("said", "refused"), [("glibc 2.27", True), ("", True), ("glibc 2.28", False)])
def test_a_libc_that_the_packages_are_not_built_for_is_refused(tmp_path: Path, said: str, refused: bool) -> None:
    folder = clone(tmp_path / "a clone")
    program(folder / "programs" / "uv", UV)
    replace(folder / "programs" / "getconf", f'#!/bin/sh\n[ -n "{said}" ] && echo {said}\n')
    code, err, _ = set_up(folder)
    assert (code == 2) == refused
    assert (f"built for glibc 2.28 or later; this system has {said or 'no glibc'}" in err) == refused


def replace(link: Path, text: str) -> None:
    """Puts a program of the test's own in the place of a tool; `real` in its text is the tool."""
    real = os.readlink(link)
    link.unlink()
    program(link, text.replace("real", real))


def test_progress_is_plain_lines_in_a_pipe_and_one_changing_line_on_a_terminal(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    # An installer that takes a moment, in which a minute passes every time someone asks.
    slow = 'echo " Downloading tensorflow (453.3MiB)"; echo " Downloaded scipy"; sleep takes'
    program(folder / "programs" / "uv", UV.replace("venv*)", f"*first.txt*) {slow} ;;\n    venv*)"))
    replace(folder / "programs" / "sleep", '#!/bin/sh\ncase "$1" in takes) real 2 ;; *) real 0.1 ;; esac\n')
    replace(folder / "programs" / "date", "#!/bin/sh\necho >>minutes\necho $(($(wc -l <minutes) * 60))\n")
    (folder / "requirements" / f"py{VERSION}.txt").write_text("nothing-of-this-name==1\n")
    _, err, _ = set_up(folder)
    assert " s: 0 of 1 packages in .venv; 1 fetched; Downloading tensorflow (453.3MiB)\n" in err
    assert "\r" not in err
    assert "\033" not in err

    ours, theirs = pty.openpty()
    subprocess.run(["scripts/setup"], cwd=folder, env=environment(folder), stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "\r\033[Ksetup: " in shown
    assert "0 of 1 packages in .venv; 1 fetched; Downloading tensorflow" in shown


@pytest.fixture(name="settings")
def _settings() -> ModuleType:
    return load_script(ROOT / "scripts" / "index_settings.py")


@pytest.mark.parametrize(
    ("variables", "files", "printed"),
    [
        ({}, {}, []),
        ({"PIP_INDEX_URL": "https://a/simple"}, {}, ["export UV_DEFAULT_INDEX=https://a/simple"]),
        ({"UV_INDEX_URL": "https://a/simple"}, {}, ["export PIP_INDEX_URL=https://a/simple"]),
        ({"UV_DEFAULT_INDEX": "ours=https://a/simple"}, {}, ["export PIP_INDEX_URL=https://a/simple"]),
        ({"PIP_INDEX_URL": "https://a", "UV_INDEX_URL": "https://b"}, {}, []),
        ({"PIP_INDEX_URL": "https://a"}, {"index-url": "https://b"}, ["export UV_DEFAULT_INDEX=https://a"]),
        (
            {},
            {"extra-index-url": "\nhttps://a\nhttps://b"},
            ["export UV_INDEX='https://a https://b'", "export UV_INDEX_STRATEGY=unsafe-best-match"],
        ),
        ({}, {"find-links": "/dev /none/of/this https://a"}, ["export UV_FIND_LINKS=/dev,https://a"]),
        ({"PIP_PROXY": "http://a:1"}, {}, ["export HTTPS_PROXY=http://a:1"]),
        ({"HTTPS_PROXY": "http://a:1"}, {}, []),
        (
            {},
            {"cert": "/a b.pem", "trusted-host": "c"},
            ["export UV_INSECURE_HOST=c", "export SSL_CERT_FILE='/a b.pem'"],
        ),
        ({"PIP_NO_INDEX": "1"}, {}, ["no_index=--no-index"]),
        ({"PIP_NO_INDEX": "0"}, {}, []),
    ],
)
def test_pip_and_uv_are_told_the_same(
    variables: dict[str, str],
    files: dict[str, str],
    printed: list[str],
    settings: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "environ", variables)
    monkeypatch.setattr(settings, "pip_files", lambda: files)
    settings.main()
    assert capsys.readouterr().out.splitlines() == printed


def test_what_a_file_of_pip_says_is_read(tmp_path: Path, settings: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://a\ntimeout = 5\n[install]\nindex-url = https://b\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    found = settings.pip_files()
    assert found["index-url"] == "https://b"
    assert found["timeout"] == "5"
