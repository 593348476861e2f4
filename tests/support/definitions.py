"""Kinds that tests bring along where a cluster does not serve them; see Site.serve. Their fields are not checked."""

from __future__ import annotations

from typing import Any


def definition(api_version: str, kind: str, plural: str, *, status: bool = True, scope: str = "Namespaced") -> Any:
    """Return a CustomResourceDefinition that takes any field."""
    group, _, version = api_version.partition("/")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if status else {}),
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


CERTIFICATE = definition("cert-manager.io/v1", "Certificate", "certificates")
DESTINATION_RULE = definition("networking.istio.io/v1", "DestinationRule", "destinationrules")
