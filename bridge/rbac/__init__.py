"""The least roles for a configuration: what its routes' runbooks ask of the API server. Called by `alertbridge rbac`.

It adds up what the actions and collectors declare, for the namespaces that the runbooks' own defaults, the routes'
parameters and their matchers name. What only a label of an alert says cannot be known here: it has to be given.
"""

from __future__ import annotations

from bridge.rbac.book import roles
from bridge.rbac.result import CLUSTER_WIDE, Roles, Rule

__all__ = ["CLUSTER_WIDE", "Roles", "Rule", "roles"]
