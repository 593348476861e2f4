"""Collector `sql`: what a fixed query at a configured database returns. The query is the author's; it has to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.model.peers import SqlName
from bridge.model.permission import Permission
from bridge.model.redact import mask
from bridge.model.runbook import Strict
from bridge.model.statement import Statement
from bridge.ports import ActionContext

_MOST_ROWS = 100

Scalar = str | int | float | bool | None


class SqlParams(Strict):
    connection: SqlName = Field(description="The database, as `sql` of the settings names it.")
    query: Statement = Field(
        description="One statement that reads, written down as it is: no templates in it; values are $1, $2, …"
    )
    arguments: tuple[Scalar | tuple[Scalar, ...], ...] = Field(
        default=(), max_length=50, description="The values of $1, $2, …: bound by the driver, never part of the text."
    )


class SqlFacts(Facts):
    row_count: int = Field(description="How many rows it returned, 200 at most.")
    value: Any = Field(description="The first column of the first row; null: there is none.")
    rows: list[dict[str, Any]] = Field(description="The rows by column, 100 at most, without credentials.")
    truncated: bool = Field(description="Whether there were more.")


class SqlEvidence(BaseCollector):
    """Connections, slow queries, locks, sizes: whatever a statement can ask. The server refuses one that writes."""

    name = "sql"
    summary = "The rows of a fixed query at a configured PostgreSQL."
    params: type[BaseModel] = SqlParams
    result: type[BaseModel] = SqlFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return []

    async def gather(self, context: ActionContext, params: SqlParams) -> SqlFacts:
        """Return the rows; raises what the connection raises."""
        arguments = [list(value) if isinstance(value, tuple) else value for value in params.arguments]
        reply = await context.reach.sql(params.connection, params.query, arguments, deadline=30.0, read_only=True)
        rows: list[dict[str, Any]] = [mask(dict(row)) for row in reply.rows[:_MOST_ROWS]]
        first = next(iter(rows[0].values()), None) if rows else None
        return SqlFacts(
            row_count=len(reply.rows),
            value=first,
            rows=rows,
            truncated=reply.truncated or len(reply.rows) > _MOST_ROWS,
        )
