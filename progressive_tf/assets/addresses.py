"""Downloading one file from a public address."""

from __future__ import annotations

from pathlib import Path

from progressive_tf.errors import ProgressiveError

TIMEOUT_SECONDS = 30


def download(url: str, target: Path) -> None:
    """Downloads `url` to `target`.

    Raises:
        ProgressiveError: if there is no network, the server refuses, or the body ends early.
        OSError: if the disk is full.
    """
    import requests
    from pooch import HTTPDownloader

    downloader = HTTPDownloader(timeout=TIMEOUT_SECONDS, chunk_size=1 << 16)
    try:
        downloader(url, str(target), None)
    except requests.exceptions.HTTPError as error:
        raise ProgressiveError(f"{url}: the server answered with an error ({error})") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise ProgressiveError(f"{url}: truncated, {target.stat().st_size:,} bytes came before it broke off") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise ProgressiveError(f"{url}: no network, or the server does not answer") from error
    except requests.exceptions.RequestException as error:
        raise ProgressiveError(f"{url}: {error}") from error
