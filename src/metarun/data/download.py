"""Download an archive from its official home, verified before anybody can see it."""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from metarun.data.archive import md5, md5_file, parse_md5
from metarun.errors import MetarunError

BLOCK = 1 << 20


def download(
    url: str, target: Path, known_md5: str | None, timeout: float = 30.0, stop: threading.Event | None = None
) -> Path:
    """Download `url` to `target`; it appears there whole and verified, with its `.md5` beside it, or not at all.

    Without `known_md5` the checksum is that of `url + ".md5"`. `timeout` is for each wait on the network, in seconds;
    once `stop` is set nothing more is written.

    Raises:
        MetarunError: no connection, no such file, a wrong checksum, or a folder that cannot be written.
    """
    unfinished: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        unfinished = Path(name)
        expected = known_md5 or parse_md5(_text(f"{url}.md5", timeout), f"{url}.md5")
        _fetch(url, unfinished, timeout, stop)
        actual = md5(unfinished)
        if actual != expected:
            raise MetarunError(f"{url} arrived with the wrong checksum: MD5 {actual} instead of {expected}.")
        if stop is not None and stop.is_set():
            raise MetarunError(f"{url} took too long.")
        unfinished.chmod(0o644)  # mkstemp makes it private
        unfinished.replace(target)
        md5_file(target).write_text(f"MD5 ({target.name}) = {expected}\n", encoding="ascii")
        return target
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the open answer of the server as well
            reason = error
        raise MetarunError(f"{url} cannot be downloaded ({reason}).") from error
    except OSError as error:
        raise MetarunError(
            f"{url} cannot be kept in {target.parent} ({error.strerror or error}): "
            "set METARUN_DATA to a folder that can be written and has room."
        ) from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def download_within(seconds: float, url: str, target: Path, known_md5: str | None, timeout: float = 5.0) -> Path:
    """Do the same, but give up after `seconds` in all, name look-up included (which has no time limit of its own).

    Raises:
        MetarunError: as `download`, or the time is over.
    """
    result: list[Path | MetarunError] = []
    stop = threading.Event()

    def work() -> None:
        try:
            result.append(download(url, target, known_md5, timeout, stop))
        except MetarunError as error:
            result.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    stop.set()
    if not result:
        raise MetarunError(f"{url} did not arrive within {seconds:g} s.")
    if isinstance(result[0], MetarunError):
        raise result[0]
    return result[0]


def _text(url: str, timeout: float) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as response:
        return bytes(response.read(10_000)).decode("latin-1")


def _fetch(url: str, path: Path, timeout: float, stop: threading.Event | None) -> None:
    with urllib.request.urlopen(url, timeout=timeout) as response, path.open("wb") as file:
        length = response.headers.get("Content-Length")
        size = f" ({int(length) / 1e6:.1f} MB)" if length else ""
        print(f"Downloading {url}{size}", file=sys.stderr)
        got = 0
        while block := response.read(BLOCK):
            if stop is not None and stop.is_set():
                raise MetarunError(f"{url} took too long.")
            file.write(block)
            got += len(block)
    if length and got != int(length):
        raise MetarunError(f"{url} was cut off: {got} of {length} bytes arrived.")
