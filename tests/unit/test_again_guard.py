"""What was put back is not done again at once."""

from __future__ import annotations

import pytest

from bridge.guards.again import AgainGuard
from bridge.model.intake import GuardFacts
from bridge.model.mode import Mode
from bridge.model.reason import Reason
from bridge.model.remediation import Remediation
from bridge.model.target import Target

NOW = 1_700_000_000.0
REMEDIATION = Remediation(
    id="r1", runbook="x", target=Target("", "Deployment", "shop", "web"), mode=Mode.AUTO, attempts_window=3600.0
)


@pytest.mark.parametrize(("ago", "allowed"), [(None, True), (0.0, False), (3599.0, False), (3600.0, True)])
def test_it_is_denied_within_the_window_of_attempts(ago: float | None, allowed: bool) -> None:
    runs = {} if ago is None else {"undone": (NOW - ago,)}
    verdict = AgainGuard().check(REMEDIATION, GuardFacts(now=NOW, runs=runs))
    assert verdict.allowed is allowed
    if not allowed:
        assert verdict.reason is Reason.FIRES_AGAIN
        assert verdict.reason.pages
        assert verdict.retry_at == NOW - (ago or 0.0) + 3600.0
