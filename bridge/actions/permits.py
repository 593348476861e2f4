"""Permissions as actions declare them; collectors declare theirs in the same way, so it stands in the model."""

from __future__ import annotations

from bridge.model.permits import kind_of, permit, plural_of

__all__ = ["kind_of", "permit", "plural_of"]
