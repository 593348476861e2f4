"""`kubectl patch configmap`: whole keys, or one value inside a file that a key holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.configmaps import Key, Text, change_data, permissions_for_configmap, read_configmap
from bridge.actions.objects import NamedParams, fields_hold, values
from bridge.errors import PlanError
from bridge.model.edits import EditError, Form, edit_text, form_of, value_at
from bridge.model.permission import Permission
from bridge.model.plan import Plan
from bridge.model.redact import redact, smells
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef
from bridge.model.verification import Verification
from bridge.ports import ActionContext

_NOTE = "pods that read it as environment, or only when they start, need a rollout_restart"


class Edit(Strict):
    """One value inside a file."""

    key: Key = ParamField(description="The key that holds the file, e.g. config.yaml.")
    path: str = ParamField(
        max_length=500, description="Where in it: rateLimit.rps, servers[name=web].host, or the name before a `=`."
    )
    to: Any = ParamField(description="The new value, with its type: 100 is a number, '100' a text.")
    only_from: Any = ParamField(default=None, description="Refuse unless the value is this one now.")
    format: Form | None = ParamField(default=None, description="Left out: by the key's ending.")
    create: bool = ParamField(default=False, description="Add the value where it is not there yet.")


class PatchParams(NamedParams):
    set: dict[Key, Text] = ParamField(default={}, max_length=100, description="Whole keys and their new texts.")
    remove: list[Key] = ParamField(default=[], max_length=100, description="Keys to be removed.")
    edit: list[Edit] = ParamField(
        default=[], max_length=50, description="Single values inside YAML, JSON, env or properties files."
    )

    @model_validator(mode="after")
    def _something(self) -> PatchParams:
        edited = {edit.key for edit in self.edit}
        if not (self.set or self.remove or edited):
            raise ValueError("give `set`, `remove`, `edit` or several of them")
        for one, other in ((self.set, self.remove), (self.set, edited), (self.remove, edited)):
            if both := sorted({*one} & {*other}):
                raise ValueError(f"{', '.join(both)} is named twice: a key is set, removed or edited")
        return self


class ConfigMapPatch(BaseAction):
    """Other values in a ConfigMap; what was there is kept and can be put back."""

    name = "configmap_patch"
    summary = "Set or remove keys of a ConfigMap, or change single values in the files that it holds."
    params: type[BaseModel] = PatchParams
    example: Mapping[str, Any] = {
        "name": "netweave-config",
        "edit": [{"key": "config.yaml", "path": "rateLimit.rps", "to": 100}],
    }
    # A setting that did not help is not left on behind everybody's back.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (permissions_for_configmap(),)

    async def plan(self, context: ActionContext, params: PatchParams) -> Plan:
        """Plan the keys; raise PlanError for a path that is not there, and for an immutable ConfigMap."""
        ref, document = await read_configmap(context, params)
        data = values(document, "data")
        wanted: dict[str, str | None] = {**params.set, **dict.fromkeys(params.remove)}
        words = [*(f"set {key}" for key in params.set), *(f"remove {key}" for key in params.remove)]
        for edit in params.edit:
            # Several edits of one file build on each other.
            text = wanted.get(edit.key) or data.get(edit.key)
            wanted[edit.key], told = _edited(ref, edit, text)
            words.append(told)
        summary = f"{', '.join(words)} in {ref}"
        change = change_data(ref, document, wanted, summary)
        if change is None:
            return self.planned(f"{ref} is so already: {', '.join(words)}")
        return self.planned(summary, change, notes=(_NOTE,))

    async def verify(self, context: ActionContext, plan: Plan, params: PatchParams) -> Verification:
        """Fixed when the ConfigMap holds what was set."""
        return await fields_hold(context, plan)


def _edited(ref: ObjectRef, edit: Edit, text: str | None) -> tuple[str, str]:
    """Return the file with the edit made, and what it is in words; raise PlanError."""
    if text is None:
        raise PlanError(f"{ref} has no key {edit.key} to edit: `set` makes one")
    form = edit.format or form_of(edit.key)
    if form is None:
        raise PlanError(f"say by `format` what {edit.key} of {ref} holds: yaml, json, env or properties")
    try:
        before = value_at(text, edit.path, form)
        if edit.only_from is not None and str(before) != str(edit.only_from) and before != edit.to:
            raise PlanError(
                f"{edit.path} in {edit.key} of {ref} is {_shown(before, edit)}, not "
                f"{_shown(edit.only_from, edit)}: somebody has changed it already"
            )
        after = edit_text(text, edit.path, edit.to, form, create=edit.create)
    except EditError as error:
        hint = "" if edit.create else " (`create: true` adds it)" if "there is no" in str(error) else ""
        raise PlanError(f"{edit.key} of {ref}: {error}{hint}") from error
    return after, f"{edit.path} in {edit.key} from {_shown(before, edit)} to {_shown(edit.to, edit)}"


def _shown(value: Any, edit: Edit) -> str:
    """Return a value for a sentence, which is logged and sent to people: nothing that is called like a credential."""
    if value is not None and smells(str(edit.path)):
        return "another value" if value != edit.to else "the new value"
    written = str(value).lower() if isinstance(value, bool) else str(value)
    text = "nothing" if value is None else redact(written, longest=4096)
    return text if len(text) <= 60 else f"{text[:57]}..."
