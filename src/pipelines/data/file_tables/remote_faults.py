"""What went wrong with a file behind a URL, in words that show no key: what libraries say may hold the whole URL."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import BadInput, PipelineError, TransientError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_KEYS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true for a public bucket",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS, or FSSPEC_GS_TOKEN=anon for a public bucket",
}
_REFUSING, _MISSING, _BUSY = (401, 403, 407), (404, 410), (408, 425, 429)


def shown(url: str) -> str:
    """A URL without what may be a key: user and password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connecting(scheme: str, connect_seconds: float, silent_seconds: float) -> dict[str, Any]:
    """How the file system of a scheme is to connect: with bounds, and with keys from the environment."""
    if scheme.lower() in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=silent_seconds)
        # The file as it is, not as the server would compress it; proxies and ~/.netrc as for other programs.
        return {"headers": {"Accept-Encoding": "identity"}, "client_kwargs": {"timeout": timeout, "trust_env": True}}
    if _EXTRAS.get(scheme.lower()) == "s3":
        return {"config_kwargs": {"connect_timeout": connect_seconds, "read_timeout": silent_seconds}}
    return {}


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Raise what libraries raise inside as BadInput (a person has to do something) or TransientError (it may pass)."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        # Not "from error": its text may hold a key, and would be logged with the cause.
        raise fault_of(url, error) from None


def fault_of(url: str, error: Exception) -> PipelineError:
    """The error that says why a URL cannot be read."""
    where, scheme = shown(url), urlsplit(url).scheme.lower()
    extra = _EXTRAS.get(scheme)
    if isinstance(error, ImportError):
        fix = f'pip install "tidemill[{extra}]"' if extra else f"install what fsspec needs for {scheme}://"
        return BadInput(f"{scheme}:// needs a library that is not installed", where=where, fix=fix)
    chain = list(_chain(error))
    status = next((said for one in chain if isinstance(said := getattr(one, "status", None), int)), None)
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return BadInput(f"nothing here reads {scheme}://", where=where, fix="https://, s3:// or gs://")
    refused = isinstance(error, PermissionError) or "Credential" in type(error).__name__
    if status in _REFUSING or refused:
        said = f" (HTTP {status})" if status else ""
        keys = _KEYS.get(extra or "", "check the address; user and password belong into ~/.netrc")
        return BadInput(f"the server refuses access{said}", where=where, fix=keys)
    if status is not None and status < 500 and status not in (*_MISSING, *_BUSY):
        return BadInput(f"the server answers HTTP {status}", where=where, fix="correct the URL in agent.toml")
    is_lost = any(_is_connection(one) for one in chain)
    if status in _MISSING or (isinstance(error, FileNotFoundError) and status is None and not is_lost):
        said = f" (HTTP {status})" if status else ""
        return BadInput(f"there is no such file{said}", where=where, fix="correct the URL in agent.toml")
    said = f"HTTP {status}" if status else _words(chain)
    return TransientError(
        f"the server cannot be reached or broke off: {said}",
        where=where,
        fix="check the network and the address, then run again; the data of the last run stay",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _is_connection(error: BaseException) -> bool:
    return isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.split(".")[0] == "aiohttp"


def _words(chain: list[BaseException]) -> str:
    number = next((one.errno for one in chain if isinstance(one, OSError) and one.errno in errno.errorcode), None)
    return type(chain[-1]).__name__ if number is None else os.strerror(number)
