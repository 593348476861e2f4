"""Read the secrets that the settings name by file or environment variable. Called by the loader."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from bridge.configuration.document import Loc
from bridge.settings import Settings

_LONGEST = 64 << 10
_TOKEN = 9
"""Characters from which a part of a channel's address is taken for a token."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+\Z")

Complain = Callable[[Loc, str], None]


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets, by what they are for. Never shown."""

    credentials: Mapping[str, tuple[str, ...]] = {}
    """By the credential's name."""
    redis: str = ""
    sentinel: str = ""
    prometheus: str = ""
    peers: Mapping[str, str] = {}
    """Of the peers beside Kubernetes, by `sort/name`: sql (a DSN) and sql-password, redis, sentinel, http, notify."""

    def __repr__(self) -> str:
        return "Secrets(…)"

    def every(self) -> tuple[str, ...]:
        """Return all of them, so that the log can keep them out."""
        named = (secret for secrets in self.credentials.values() for secret in secrets)
        peers = (part for secret in self.peers.values() for part in _telling(secret))
        return tuple(secret for secret in (*named, self.redis, self.sentinel, self.prometheus, *peers) if secret)


def read_secrets(
    settings: Settings, env: Mapping[str, str], *, complain: Complain, used: Callable[[Path], None]
) -> Secrets:
    """Return the secrets. What cannot be read is told to `complain`; every file is told to `used`."""

    def read(loc: Loc, files: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
        found = []
        for at, file in enumerate(files):
            used(Path(file))
            found.append(_file(Path(file), partial(complain, (*loc, "secret_file", at))))
        for at, name in enumerate(names):
            value = env.get(name, "")
            if not value:
                complain((*loc, "secret_env", at), f"the environment variable {name} is not set, or empty")
            found.append(value)
        return tuple(value for value in found if value)

    def one(loc: Loc, file: str, name: str = "", key: str = "password", *, optional: bool = False) -> str:
        if file:
            used(Path(file))
            if optional and not Path(file).exists():
                return ""
            return _file(Path(file), partial(complain, (*loc, f"{key}_file")))
        if name and not env.get(name) and not optional:
            complain((*loc, f"{key}_env"), f"the environment variable {name} is not set, or empty")
        return env.get(name, "") if name else ""

    redis, prometheus = settings.redis, settings.prometheus
    return Secrets(
        credentials={
            each.name: read(("credentials", at), each.secret_file, each.secret_env)
            for at, each in enumerate(settings.credentials)
        },
        redis=one(("redis",), redis.password_file, redis.password_env),
        sentinel=one(("redis", "sentinel"), redis.sentinel.password_file) if redis.sentinel else "",
        prometheus=one(("prometheus",), prometheus.token_file, key="token") if prometheus else "",
        peers={place: value for place, value in _of_peers(settings, one, complain) if value},
    )


def _of_peers(settings: Settings, one: Callable[..., str], complain: Complain) -> Iterator[tuple[str, str]]:
    """Yield each secret of a peer with its place; `one` reads it, and complains where it cannot."""
    loc: Loc
    for name, database in settings.sql.items():
        loc = ("sql", name)
        dsn = one(loc, database.dsn_file, database.dsn_env, "dsn")
        if dsn and not dsn.startswith(("postgresql://", "postgres://")):
            complain(loc, "its DSN has to begin with postgresql://")
        yield f"sql/{name}", dsn
        yield f"sql-password/{name}", one(loc, database.password_file, database.password_env)
    for name, peer in settings.redis_peers.items():
        loc = ("redis_peers", name)
        yield f"redis/{name}", one(loc, peer.password_file, peer.password_env)
        if peer.sentinel is not None:
            watch = peer.sentinel
            yield f"sentinel/{name}", one((*loc, "sentinel"), watch.password_file, watch.password_env)
    for name, secret in settings.http.secrets.items():
        loc = ("http", "secrets", name)
        yield f"http/{name}", one(loc, secret.secret_file, secret.secret_env, "secret", optional=secret.optional)
    if settings.alertmanager is not None:
        yield "alertmanager/token", one(("alertmanager",), settings.alertmanager.token_file, "", "token")
    for name, channel in settings.notify.channels.items():
        loc = ("notify", "channels", name)
        url = one(loc, channel.url_file, channel.url_env, "url", optional=channel.optional)
        if url and not _URL.match(url):
            complain(loc, "its address has to be one that apprise takes, such as slack://…")
        yield f"notify/{name}", url


def _telling(secret: str) -> Iterator[str]:
    """Yield what must not be shown of a secret: all of it, and of an address what lets somebody in."""
    yield secret
    if _URL.match(secret):
        rest = secret.partition("://")[2].partition("?")[0]
        account, at, place = rest.rpartition("@")
        yield account.partition(":")[2]
        parts = place.split("/")
        if not at and "." not in parts[0] and parts[0].lower() != "localhost":
            yield parts[0] if len(parts[0]) >= _TOKEN else ""
        yield from (part for part in parts[1:] if len(part) >= _TOKEN)


def _file(path: Path, complain: Callable[[str], None]) -> str:
    """Return the secret in a file without its last line feed."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        complain(f"{path} cannot be read: {error.strerror or error}")
        return ""
    except UnicodeDecodeError:
        complain(f"{path} is not UTF-8")
        return ""
    if len(data) > _LONGEST or not text or "\n" in text:
        complain(f"{path} has to hold one secret in one line")
        return ""
    return text
