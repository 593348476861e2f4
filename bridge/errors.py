"""The exception tree. Every error that crosses a layer is one of these; imports nothing of the project."""

from __future__ import annotations


class AlertbridgeError(Exception):
    """The root of every error that alertbridge raises on purpose."""


class ConfigurationError(AlertbridgeError):
    """The configuration is wrong; `problems` has one readable line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ListenError(AlertbridgeError):
    """An address cannot be listened on: somebody else has its port, or it is not this host's."""


class InvalidInput(AlertbridgeError):
    """Something from outside (a label, a parameter, a request) can never be right."""


class UnknownValue(AlertbridgeError):
    """An expression touched something that is not known (evidence not gathered, a label that is absent)."""


class TemporaryError(AlertbridgeError):
    """It failed for now: try again, not before `delay` seconds have passed when that is given."""

    def __init__(self, message: str, *, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class Unreachable(TemporaryError):
    """Nothing listens at a peer's address: unlike a hung call, that is an answer about its health."""


class Hung(TemporaryError):
    """A peer did not answer within the deadline; nothing was changed by what was sent."""


class CallInDoubt(TemporaryError):
    """A call that may be made again was begun, and whether it was made is not known yet."""


class DisruptionRefused(TemporaryError):
    """A disruption budget allows no eviction now: it is waited for, and never got round."""


class PermanentError(AlertbridgeError):
    """It failed and trying again cannot help; the message says what would."""


class SecretsClosed(PermanentError):
    """A Secret was asked for in a namespace that `secret_namespaces` does not name; nothing was sent."""


class OutcomeUnknown(AlertbridgeError):
    """A write was sent and its effect is not known (a lost reply, a hung call). Look before trying again."""


class CircuitOpen(TemporaryError):
    """The circuit breaker of a dependency is open; `delay` is the time in seconds to its next probe."""


class StoreUnavailable(TemporaryError):
    """Redis did not answer, refused the write or is not the primary. Nothing was stored that was answered."""


class LeaseLost(AlertbridgeError):
    """Another worker owns the remediation now: stop at once and write nothing more."""


class JournalFull(AlertbridgeError):
    """A run has journalled more than any sound one does: it ends, for nothing is done that is not journalled."""


class SaidNo(AlertbridgeError):
    """Somebody said no to what a run asks, after it looked last: nothing more is written."""


class PlanError(PermanentError):
    """The change cannot be planned (object missing, name invalid, nothing to undo to); names the mend."""


class PlanStale(AlertbridgeError):
    """The object no longer has the uid or the before-values of the plan: plan again."""


class UndoBlocked(PlanStale):
    """What a plan made has been built on since: nothing of the plan may be put back, not even what is unchanged."""


class TargetReplaced(PlanStale):
    """The object was deleted and made again since planning (other uid)."""


class KubeError(AlertbridgeError):
    """An answer of the Kubernetes API that is no success; `status` is the HTTP status, `reason` the API's."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        what: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{what}: {message}" if what else message)
        self.status = status
        self.reason = reason
        self.what = what
        self.retry_after = retry_after


class KubeNotFound(KubeError):
    """404: the object, or its kind, is not there."""


class KubeConflict(KubeError):
    """409: the object changed since it was read, or exists already."""


class KubeInvalid(KubeError):
    """400, 415 or 422: the API server can never accept this."""


class KubeForbidden(KubeError):
    """403: the credentials lack a permission; the message names verb, resource and namespace."""


class KubeUnauthorized(KubeError):
    """401, also after the token was read again once."""


class KubeBusy(KubeError):
    """429: obey `retry_after` (seconds). For an eviction it means that a disruption budget says wait."""


class KubeUnavailable(KubeError):
    """5xx, or no connection could be made: the request had no effect that we know of."""


class KubeReplyLost(KubeError, OutcomeUnknown):
    """A mutating request was sent and no answer came (reset, time-out): its effect is unknown."""
