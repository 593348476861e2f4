"""What is no mistake in a configuration and still hardly meant: told by `check-config`, at each start and reload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bridge.configuration.document import Document, Loc
from bridge.configuration.route_checks import Written
from bridge.model.principal import Role
from bridge.model.route import RouteSpec
from bridge.model.runbook import Runbook
from bridge.settings.listening import CredentialSpec


def warnings_of(
    document: Document,
    route: RouteSpec,
    credentials: Sequence[CredentialSpec],
    more: Sequence[Written],
    runbooks: Iterable[tuple[Document, Runbook]],
) -> Iterator[str]:
    """Yield sentences with file and line; `route` is the tree, `more` are the routes beside it."""

    def at(loc: Loc, text: str, of: Document = document) -> str:
        return f"{of.name}:{of.mark(loc).line}: {text}"

    if not route.routes and not more:
        yield at(("route",), "there is no route: no alert will be acted on; name some in `alerts` or `route`")
    for index, each in enumerate(credentials):
        if each.type == "hmac" and not each.timestamp_header:
            yield at(("credentials", index), f"{each.name} has no timestamp_header: nothing guards against a replay")
    there = _who_may_agree(credentials)
    routes = [(document, ("route",), route), *((each.document, each.loc, each.spec) for each in more)]
    wanted = [(of, (*loc, "approvers"), spec.approvers) for where in routes for of, loc, spec in _all(*where)]
    wanted += [(of, ("approvers",), book.approvers) for of, book in runbooks]
    for of, loc, need in wanted:
        if need is not None and need > there:
            mend = "add credentials with `roles: operator`, one for each person, or lower `approvers`"
            have = "1, since no credentials are configured" if not credentials else str(there)
            yield at(
                loc, f"{need} people have to agree, and there can be {have}: nothing is ever agreed to; {mend}", of
            )


def _who_may_agree(credentials: Sequence[CredentialSpec]) -> int:
    """Return how many different people can answer: a credential is a person; without any everybody is one."""
    # A signature is about a body that a sender sends: nobody answers with one.
    able = [each for each in credentials if Role.OPERATOR in each.roles and each.type != "hmac"]
    return len(able) if credentials else 1


def _all(document: Document, loc: Loc, spec: RouteSpec) -> Iterator[tuple[Document, Loc, RouteSpec]]:
    yield document, loc, spec
    for index, child in enumerate(spec.routes):
        yield from _all(document, (*loc, "routes", index), child)
