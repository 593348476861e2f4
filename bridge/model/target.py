"""What a remediation is about, and the names that may reach a Kubernetes API server."""

from __future__ import annotations

import re

import msgspec

from bridge.errors import InvalidInput

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")


class Target(msgspec.Struct, frozen=True, order=True):
    """The owning workload (or other object) that a remediation is about. Cluster-wide kinds have no namespace."""

    cluster: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        cluster = f"{self.cluster}:" if self.cluster else ""
        return f"{cluster}{self.kind.lower()}/{place}{self.name}"


class ObjectRef(msgspec.Struct, frozen=True, order=True):
    """One object at one API server, with the uid that planning saw (empty when it is not known)."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""
    cluster: str = ""

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.namespace + '/' if self.namespace else ''}{self.name}"

    @property
    def lock_key(self) -> str:
        """What a lock on this object is called: without the uid, so that a remake is the same object.

        And without the version: autoscaling/v1 and autoscaling/v2 are two views of one object.
        """
        group = self.api_version.rpartition("/")[0]
        return f"{self.cluster}|{group}|{self.kind}|{self.namespace}|{self.name}"


def check_namespace(value: object, what: str = "namespace") -> str:
    """Return `value` if it is an RFC 1123 label (63 characters at most); raise InvalidInput otherwise."""
    if isinstance(value, str) and _LABEL.match(value):
        return value
    raise InvalidInput(f"{what} {_shown(value)} is not a Kubernetes namespace name (RFC 1123 label)")


def check_name(value: object, what: str = "name") -> str:
    """Return `value` if it is an RFC 1123 subdomain (253 characters at most); raise InvalidInput otherwise.

    The check keeps `.`, `..`, the empty name and anything with `/` or `%` away from request paths, where a
    client library would turn them into another, larger request.
    """
    if isinstance(value, str) and len(value) <= 253 and _SUBDOMAIN.match(value):
        return value
    raise InvalidInput(f"{what} {_shown(value)} is not a Kubernetes object name (RFC 1123 subdomain)")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
