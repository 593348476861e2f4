"""What every collector starts from: its declarations, and a result that is what was declared.

A collector reads and returns plain values. It never writes, never raises for what it finds (a sick pod is an answer),
and raises for what it cannot find out: then the evidence is missing, in words, and the run goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bridge.errors import PermanentError
from bridge.model.permission import Permission
from bridge.ports import ActionContext


class Facts(BaseModel):
    """The base of results: every field has a type and a description, and no number is infinite or none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BaseCollector(ABC):
    """Implements bridge.ports.Collector. A collector defines the attributes, `permissions` and `gather`."""

    name: str
    summary: str
    params: type[BaseModel]
    result: type[BaseModel]

    @abstractmethod
    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        """Return what it asks of the API server for an object of `kind`; `params` may hold templates still."""

    @abstractmethod
    async def gather(self, context: ActionContext, params: Any) -> BaseModel | Mapping[str, Any]:
        """Return the result, or a mapping that is valid as one. Raises AlertbridgeError: the evidence is missing."""

    async def collect(self, context: ActionContext, params: Any) -> dict[str, Any]:
        """Return the result as plain JSON values with exactly the declared fields and types."""
        found = await self.gather(context, params)
        if isinstance(found, self.result):
            # It was checked when it was made.
            return found.model_dump(mode="json")
        try:
            return self.result.model_validate(found).model_dump(mode="json")
        except ValidationError as error:
            # Its own text would quote what was found, credentials included.
            wrong = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_url=False)[:5])
            raise PermanentError(f"collector {self.name}: its result is not as declared: {wrong}") from None
