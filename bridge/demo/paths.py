"""URL paths of the Kubernetes API, taken apart. Called by `api`; pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class ApiPath:
    """A path below /api or /apis. Empty parts are absent; `rest` is what follows the subresource."""

    group: str
    version: str
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def without_namespace(self) -> str:
        """The resource's path as `NOT_SERVED` lists it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/{self.plural}"


def parse(raw_path: str) -> ApiPath | None:
    """An API path, from the path as it was sent (still escaped); None for what is none.

    A segment that holds an escaped slash can't name anything: its name is kept as it is and matches nothing.
    """
    segments = raw_path.strip("/").split("/")
    if segments[0] == "api" and len(segments) >= 2:
        group, version, parts = "", segments[1], segments[2:]
    elif segments[0] == "apis" and len(segments) >= 3:
        group, version, parts = segments[1], segments[2], segments[3:]
    else:
        return None
    names = [unquote(part) for part in parts]
    namespace = ""
    if len(names) >= 3 and names[0] == "namespaces" and names[2] not in ("status", "finalize"):
        namespace, names = names[1], names[2:]
    names += [""] * (3 - len(names))
    return ApiPath(group, version, namespace, names[0], names[1], names[2], "/".join(names[3:]))
