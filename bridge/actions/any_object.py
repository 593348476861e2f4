"""Naming an object of any kind: what the actions that take one share. Changes nothing."""

from __future__ import annotations

import re

from pydantic import Field as ParamField

from bridge.actions.workloads import TargetParams
from bridge.errors import InvalidInput
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.ports import ActionContext

VERSION = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?v[0-9][a-z0-9]{0,30}")
KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")


class AnyParams(TargetParams):
    api_version: str = ParamField(description="Its apiVersion, e.g. networking.k8s.io/v1.")
    cluster_wide: bool = ParamField(default=False, description="For a kind whose objects are in no namespace.")


def any_ref(context: ActionContext, params: AnyParams) -> ObjectRef:
    """Return the object that the parameters and the target name; raise InvalidInput."""
    target = context.target
    place = "" if params.cluster_wide else (params.namespace or target.namespace)
    return make_ref(context, params.api_version, params.kind or target.kind, place, params.name or target.name)


def make_ref(context: ActionContext, api_version: object, kind: object, namespace: object, name: object) -> ObjectRef:
    """Return the reference after every part of it was checked; an empty namespace is that of a cluster-wide kind."""
    if not isinstance(api_version, str) or not VERSION.fullmatch(api_version) or ".." in api_version:
        raise InvalidInput(f"apiVersion {str(api_version)[:80]!r} is not of the form v1 or group/v1")
    if not isinstance(kind, str) or not KIND.fullmatch(kind):
        raise InvalidInput(f"kind {str(kind)[:80]!r} is not the name of a Kubernetes kind")
    place = "" if namespace == "" else check_namespace(namespace)
    return ObjectRef(api_version, kind, place, check_name(name), cluster=context.target.cluster)
