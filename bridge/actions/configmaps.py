"""What the actions on ConfigMaps share: reading one, and planning other values for its keys. Changes nothing.

A copy of what is replaced is kept by the engine before the write; see bridge.engine.copies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic import Field as ParamField

from bridge.actions.objects import NamedParams, named_ref, read_object, values
from bridge.actions.permits import permit
from bridge.errors import PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, escape_token
from bridge.model.target import ObjectRef
from bridge.model.workload import Document
from bridge.ports import ActionContext

KIND = "ConfigMap"
LARGEST = 1 << 20
"""Bytes of all values together. Source: Kubernetes, core/v1 MaxSecretSize, which holds for ConfigMaps too."""
_KEY = re.compile(r"[-._a-zA-Z0-9]+")


def text_of(value: object) -> object:
    """Numbers and switches are written into runbooks without quotes; a ConfigMap holds texts."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Key = Annotated[str, ParamField(pattern=rf"^{_KEY.pattern}$", max_length=253)]
Text = Annotated[str, BeforeValidator(text_of), ParamField(max_length=LARGEST)]


def permissions_for_configmap() -> Permission:
    return permit("v1", KIND, "get", "patch")


async def read_configmap(context: ActionContext, params: NamedParams) -> tuple[ObjectRef, Document]:
    """Return the ConfigMap; raise PlanError for one that nobody can change."""
    ref, document = await read_object(context, named_ref(context, params, "v1", KIND))
    if document.get("immutable"):
        raise PlanError(
            f"{ref} is immutable: make one of another name with the new content (`object_apply`) and have the "
            "workload use that"
        )
    return ref, document


def change_data(ref: ObjectRef, document: Document, wanted: Mapping[str, str | None], summary: str) -> Change | None:
    """Return the change that gives keys of `data` other values (None: removes them); None where nothing differs.

    Raises PlanError for a key of binary data, and for more than a ConfigMap can hold.
    """
    data, binary = values(document, "data"), values(document, "binaryData")
    if taken := sorted(wanted.keys() & binary.keys()):
        raise PlanError(f"{', '.join(taken)} of {ref} is binary data, which is not changed as a text")
    return change_keys(ref, document, {"data": wanted}, {**data, **wanted}, summary)


def change_keys(
    ref: ObjectRef,
    document: Document,
    wanted: Mapping[str, Mapping[str, str | None]],
    result: Mapping[str, Any],
    summary: str,
) -> Change | None:
    """As `change_data`, for keys of `data` and `binaryData`; `result` is what it will hold, to be measured."""
    fields = [
        Field(f"/{part}/{escape_token(key)}", values(document, part).get(key), value)
        for part, keys in wanted.items()
        for key, value in sorted(keys.items())
        if values(document, part).get(key) != value
    ]
    if not fields:
        return None
    size = sum(len(key) + len(str(value).encode()) for key, value in result.items() if value is not None)
    if size > LARGEST:
        raise PlanError(f"{ref} would hold {size} bytes, and a ConfigMap holds {LARGEST} at most")
    return Change(ref=ref, fields=tuple(fields), summary=summary)
