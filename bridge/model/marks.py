"""The marks that alertbridge leaves on objects, by which it knows its own work again. Pure."""

from __future__ import annotations

REMEDIATION = "alertbridge.io/remediation"
"""Annotation: the remediation that made an object, or changed it last."""
BACKUP_OF = "alertbridge.io/backup-of"
"""Label: the object whose former content this one keeps for an undo."""
