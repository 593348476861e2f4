"""Read the secrets that the settings name by file or environment variable. Called by the loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from bridge.configuration.document import Loc
from bridge.settings import Settings

_LONGEST = 64 << 10

Complain = Callable[[Loc, str], None]


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets, by what they are for. Never shown."""

    credentials: Mapping[str, tuple[str, ...]] = {}
    """By the credential's name."""
    redis: str = ""
    sentinel: str = ""
    prometheus: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"

    def every(self) -> tuple[str, ...]:
        """Return all of them, so that the log can keep them out."""
        named = (secret for secrets in self.credentials.values() for secret in secrets)
        return tuple(secret for secret in (*named, self.redis, self.sentinel, self.prometheus) if secret)


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

    def one(loc: Loc, file: str, name: str = "", key: str = "password_file") -> str:
        if file:
            used(Path(file))
            return _file(Path(file), partial(complain, (*loc, key)))
        if name and not env.get(name):
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
        prometheus=one(("prometheus",), prometheus.token_file, key="token_file") if prometheus else "",
    )


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
