"""What an error means for the run it happened in: which outcome, or when to try again. Pure; called by execute."""

from __future__ import annotations

import structlog
from pydantic import ValidationError

from bridge.engine.ending import Ending, Finish, Park
from bridge.engine.parts import Parts
from bridge.engine.progress import Progress
from bridge.engine.retry import asked_delay
from bridge.errors import (
    CallInDoubt,
    CircuitOpen,
    DisruptionRefused,
    InvalidInput,
    KubeBusy,
    KubeError,
    KubeForbidden,
    KubeNotFound,
    KubeReplyLost,
    KubeUnauthorized,
    KubeUnavailable,
    OutcomeUnknown,
    PermanentError,
    PlanError,
    PlanStale,
    TargetReplaced,
    TemporaryError,
    UnknownValue,
)
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome

log = structlog.get_logger(__name__)

_LATER = (KubeUnavailable, KubeBusy, KubeReplyLost, TemporaryError)


def ending_for(error: Exception, progress: Progress, parts: Parts) -> Ending:
    """Return how a run ends, for now or for good, that met `error`.

    What may pass is parked, a bounded number of times. Once a write has begun, an error that leaves its
    effect in doubt makes the outcome unknown, never failed.
    """
    if isinstance(error, _LATER) and progress.retries < parts.limits.retries:
        return Park(parts.clock.now() + _delay(error, progress, parts), _reason(error), str(error), retry=True)
    reason = _final_reason(error, progress)
    if reason is Reason.INTERNAL_ERROR:
        log.error("run failed", exc_info=error)
    if isinstance(error, OutcomeUnknown):
        return Finish(Outcome.UNKNOWN, Reason.WRITE_UNKNOWN, str(error))
    if reason is Reason.TARGET_REPLACED and not progress.changed:
        return Finish(Outcome.CANCELLED, reason, str(error))
    outcome = Outcome.UNKNOWN if progress.in_flight and not _refused(error, progress) else Outcome.FAILED
    return Finish(outcome, reason, str(error))


def _final_reason(error: Exception, progress: Progress) -> Reason:
    reason = _reason(error)
    if reason is Reason.CIRCUIT_OPEN:
        # A breaker that is open passes; one that stayed open through all retries is a dependency that is away.
        return Reason.CLUSTER_UNAVAILABLE
    return Reason.PLAN_FAILED if reason is Reason.APPLY_FAILED and not progress.writing else reason


def _delay(error: Exception, progress: Progress, parts: Parts) -> float:
    limits = parts.limits
    backoff = min(limits.retry_first * 2.0**progress.retries, limits.retry_longest)
    return max(backoff, min(asked_delay(error) or 0.0, limits.longest_asked))


_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Reason], ...] = (
    (TargetReplaced, Reason.TARGET_REPLACED),
    (PlanStale, Reason.PLAN_STALE),
    (CircuitOpen, Reason.CIRCUIT_OPEN),
    ((KubeForbidden, KubeUnauthorized), Reason.FORBIDDEN),
    (KubeNotFound, Reason.TARGET_GONE),
    (KubeReplyLost, Reason.WRITE_UNKNOWN),
    ((KubeUnavailable, KubeBusy), Reason.CLUSTER_UNAVAILABLE),
    (CallInDoubt, Reason.WRITE_UNKNOWN),
    (DisruptionRefused, Reason.DISRUPTION_BUDGET),
    (UnknownValue, Reason.EVIDENCE_MISSING),
    ((PlanError, InvalidInput, ValidationError), Reason.PLAN_FAILED),
    ((KubeError, PermanentError, TemporaryError), Reason.APPLY_FAILED),
)


def _reason(error: Exception) -> Reason:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.INTERNAL_ERROR)


def _refused(error: Exception, progress: Progress) -> bool:
    """Whether the API server, or our own preconditions, said no: then nothing of this change was written.

    That says nothing about an earlier try that was interrupted, and a server that failed (5xx) said nothing at all.
    """
    if progress.doubtful or isinstance(error, KubeUnavailable | OutcomeUnknown):
        return False
    return isinstance(error, PlanStale | PermanentError | InvalidInput | KubeError)
