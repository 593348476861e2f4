"""Steps that change nothing and have to come true: a number from Prometheus, an HTTP answer."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.http_call import refuse_odd_paths
from bridge.errors import Unreachable
from bridge.model.outside import HttpRequest
from bridge.model.peers import AllowedUrl, SecretHeaders
from bridge.model.permission import Permission
from bridge.model.plan import Plan, Repeat, Undo
from bridge.model.runbook import Strict
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class _Check(BaseAction):
    """Nothing is planned, applied or undone; `verify` is what it is for."""

    repeat = Repeat.SAFE
    undo = Undo.NONE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return ()


class PromqlCheckParams(Strict):
    query: str = ParamField(min_length=1, max_length=4096, description="An instant query in PromQL.")
    is_: Literal["<", "<=", ">", ">=", "==", "!="] = ParamField(
        default="<", alias="is", description="How its value has to compare with the threshold."
    )
    threshold: float = ParamField(allow_inf_nan=False, description="The number to compare with.")
    of: Literal["every", "any"] = ParamField(
        default="every", description="Whether every sample has to fulfil it, or one is enough."
    )


class PromqlCheck(_Check):
    """A number against a threshold."""

    name = "promql_check"
    summary = "Wait until the value of a PromQL query is below (or above) a threshold; no data is no success."
    params: type[BaseModel] = PromqlCheckParams
    example: Mapping[str, Any] = {
        "query": 'sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))',
        "is": "<",
        "threshold": 0.01,
    }

    async def plan(self, context: ActionContext, params: PromqlCheckParams) -> Plan:
        return self.planned(f"wait until {params.query} {params.is_} {params.threshold:g}", waits=True)

    async def verify(self, context: ActionContext, plan: Plan, params: PromqlCheckParams) -> Verification:
        """Fixed when the samples compare as they have to; unknown without samples, or where one is no number."""
        samples = [value for _, value in await context.reach.promql(params.query)]
        if not samples:
            return Verification(Answer.UNKNOWN, "the query has no samples: that is not known, not zero")
        if any(math.isnan(value) for value in samples):
            return Verification(Answer.UNKNOWN, "the query gives NaN: no traffic, or a division by zero")
        compare, most = _COMPARE[params.is_], samples[:3]
        told = ", ".join(f"{value:g}" for value in most) + (", …" if len(samples) > len(most) else "")
        holds = [compare(value, params.threshold) for value in samples]
        fixed = all(holds) if params.of == "every" else any(holds)
        text = f"{told} {'is' if fixed else 'is not'} {params.is_} {params.threshold:g}"
        return Verification(Answer.FIXED if fixed else Answer.NOT_FIXED, text)


class HttpCheckParams(Strict):
    url: AllowedUrl = ParamField(max_length=2048, description="The address; its host has to be among `http.hosts`.")
    expect_status: tuple[int, ...] = ParamField(
        default=(200,), min_length=1, description="Statuses that mean success."
    )
    expect_body: str | None = ParamField(
        default=None, max_length=1024, description="A text that the answer has to hold."
    )
    secret_headers: SecretHeaders = ParamField(
        default={},
        max_length=10,
        description="Header to the name of its value in `http.secrets`: it is never shown.",
    )


class HttpCheck(_Check):
    """An address that has to answer."""

    name = "http_check"
    summary = "Wait until a GET of an allow-listed address is answered as it should be."
    params: type[BaseModel] = HttpCheckParams
    example: Mapping[str, Any] = {"url": "http://gateway.o2ims-system:8080/healthz", "expect_status": [200]}

    async def plan(self, context: ActionContext, params: HttpCheckParams) -> Plan:
        refuse_odd_paths(params.url)
        context.reach.check("http", params.url, tuple(params.secret_headers.values()))
        return self.planned(f"wait until {params.url} answers {list(params.expect_status)}", waits=True)

    async def verify(self, context: ActionContext, plan: Plan, params: HttpCheckParams) -> Verification:
        """Fixed when the answer is as expected; a refused connection is an answer too, a hung one is none."""
        request = HttpRequest(url=params.url, secret_headers=params.secret_headers)
        try:
            reply = await context.reach.http(request)
        except Unreachable as error:
            return Verification(Answer.NOT_FIXED, str(error))
        if reply.status not in params.expect_status:
            return Verification(Answer.NOT_FIXED, f"the answer is {reply.status}")
        if params.expect_body is not None and params.expect_body not in reply.body:
            return Verification(Answer.NOT_FIXED, f"the answer {reply.status} does not hold {params.expect_body!r}")
        return Verification(Answer.FIXED, f"the answer is {reply.status}")
