"""Why something was done or not done: one enumeration for metric labels, log fields, pages and texts."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec


class Reason(Enum):
    """A decision's reason: its value, whether it pages a person, and a sentence for people."""

    # Deciding to act
    ALLOWED = ("allowed", False, "every guard allowed it")
    # What the sender or the operator said
    DUPLICATE = ("duplicate", False, "still firing: the incident is open already")
    HELD = ("held", False, "fired with a start before the last resolve: held until it is seen again")
    STALE = ("stale", False, "older than what is already known of this alert")
    RESOLVED = ("resolved", False, "the alert resolved")
    EXPIRED = ("expired", False, "not seen for longer than the sender's repeat interval")
    TEST_ALERT = ("test_alert", False, "the sender's own test or no-data alert: never acts")
    JOINED = ("joined", False, "joined the open remediation of the same runbook and target")
    CREATED = ("created", False, "a remediation was created")
    SUPERSEDED = ("superseded", False, "a newer firing of the same alert took its place")
    # Routing
    NO_ROUTE = ("no_route", False, "no route of the routing table names a runbook for it")
    MUTED = ("muted", False, "a mute time interval of its route is active, or no active one is")
    UNKNOWN_CLUSTER = ("unknown_cluster", True, "its cluster label names no configured cluster")
    INVALID_TARGET = ("invalid_target", True, "the runbook's target cannot be made from the alert's labels")
    # Entry guards
    PAUSED = ("paused", False, "paused by an operator")
    COOLDOWN = ("cooldown", False, "the same runbook ran for this target a short while ago")
    ATTEMPTS_SPENT = ("attempts_spent", True, "the attempts for this target in the window are spent")
    HOLD_OFF = ("hold_off", False, "held off: it acts only when the alert still fires after a while")
    RUNBOOK_STOPPED = (
        "runbook_stopped",
        True,
        "its last runs did not help: it runs no more until a person resumes it",
    )
    MAINTENANCE = ("maintenance", False, "a maintenance window covers it")
    SILENCED = ("silenced", False, "an Alertmanager silence covers the alert")
    SILENCES_UNKNOWN = ("silences_unknown", False, "Alertmanager could not be asked whether the alert is silenced")
    FIRES_AGAIN = ("fires_again", True, "it fires again after what was changed for it was put back")
    # Plan guards
    PROTECTED_NAMESPACE = ("protected_namespace", True, "the namespace is protected")
    PROTECTED_OBJECT = ("protected_object", True, "the object is marked as not to be changed by automation")
    OWN_PART = ("own_part", True, "the target is a part of alertbridge itself")
    OWNER_WOULD_REVERT = ("owner_would_revert", True, "an owner of the object would undo the change")
    ROLLOUT_IN_PROGRESS = ("rollout_in_progress", False, "the target is being rolled out by somebody else")
    CHANGED_RECENTLY = ("changed_recently", True, "somebody else changed the target a short while ago")
    BUDGET_SPENT = ("budget_spent", False, "the disruption budget has no room for it now")
    BUDGET_TOO_SMALL = (
        "budget_too_small",
        True,
        "it alone would disturb more than the disruption budget ever allows",
    )
    HALTED = ("halted", True, "too much was to be disturbed in a short time: everything is paused")
    UNDO_NONE = ("undo_none", True, "the change cannot be undone and its route does not allow that")
    # Modes
    OBSERVE_ONLY = ("observe_only", False, "mode observe: planned, nothing was changed")
    APPROVAL_NEEDED = ("approval_needed", True, "mode approve: a person has to agree")
    APPROVAL_GIVEN = ("approval_given", False, "a person agreed")
    APPROVAL_DENIED = ("approval_denied", False, "a person said no")
    APPROVAL_TIMED_OUT = ("approval_timed_out", True, "too few people agreed in time: no answer means no")
    # How a run ended
    VERIFIED = ("verified", False, "verification says fixed")
    NOTHING_TO_DO = ("nothing_to_do", False, "the plan would change nothing")
    NOT_FIXED = ("not_fixed", True, "verification says not fixed")
    VERIFICATION_UNKNOWN = ("verification_unknown", True, "verification could not tell")
    LEFT_TO_A_PERSON = ("left_to_a_person", True, "the scenario that applies is a person's to mend")
    NO_SCENARIO = ("no_scenario", True, "no scenario of the runbook applies")
    EVIDENCE_MISSING = ("evidence_missing", True, "evidence that the choice needs could not be gathered")
    PLAN_FAILED = ("plan_failed", True, "the change could not be planned")
    PLAN_STALE = ("plan_stale", True, "the object kept changing between plan and write")
    TARGET_REPLACED = ("target_replaced", True, "the target was deleted and made again meanwhile")
    TARGET_GONE = ("target_gone", True, "the target does not exist")
    FORBIDDEN = ("forbidden", True, "the cluster refused it: a permission is missing")
    WRITE_UNKNOWN = ("write_unknown", True, "a write was sent and its effect is unknown")
    APPLY_FAILED = ("apply_failed", True, "the change could not be made")
    TEMPORARY_ENDED = ("temporary_ended", False, "a temporary change was undone when its time was over")
    UNDO_ASKED = ("undo_asked", False, "a person asked to put back what was changed")
    UNDONE_BY_HAND = ("undone_by_hand", False, "what it changed was put back because a person asked for it")
    UNDO_REFUSED = ("undo_refused", True, "it was not put back: somebody changed it since, or it could not be")
    DISRUPTION_BUDGET = ("disruption_budget", True, "a disruption budget allowed no eviction for too long")
    CLUSTER_UNAVAILABLE = ("cluster_unavailable", True, "the cluster's API did not answer for too long")
    CIRCUIT_OPEN = ("circuit_open", False, "the circuit breaker is open")
    LOCKED = ("locked", False, "another remediation holds a lock on an object of the plan")
    GIVES_WAY = ("gives_way", False, "something else about the same target comes first")
    OUT_OF_DATE = ("out_of_date", False, "waited too long to be started: the world has moved on")
    DEAD_LETTER = ("dead_letter", True, "its workers died too often: set aside for a person")
    CANCELLED_BY_OPERATOR = ("cancelled_by_operator", False, "cancelled by an operator")
    INTERNAL_ERROR = ("internal_error", True, "alertbridge itself failed; the journal has the error")

    pages: bool
    """Whether a person is woken for it."""
    text: str

    def __new__(cls, value: str, pages: bool, text: str) -> Reason:
        member = object.__new__(cls)
        member._value_ = value
        member.pages = pages
        member.text = text
        return member

    @classmethod
    def of(cls, value: str) -> Reason:
        """Return the member with this value; raise KeyError when there is none."""
        return _BY_VALUE[value]


_BY_VALUE = {reason.value: reason for reason in Reason}

OVERRIDABLE = (
    Reason.PAUSED,
    Reason.RUNBOOK_STOPPED,
    Reason.MAINTENANCE,
    Reason.SILENCED,
    Reason.SILENCES_UNKNOWN,
    Reason.COOLDOWN,
    Reason.ATTEMPTS_SPENT,
    Reason.FIRES_AGAIN,
    Reason.OUT_OF_DATE,
    Reason.OWNER_WOULD_REVERT,
    Reason.UNDO_NONE,
    Reason.ROLLOUT_IN_PROGRESS,
    Reason.CHANGED_RECENTLY,
    Reason.BUDGET_SPENT,
)
"""What an operator may override for one run by hand: limits of automation.

What is protected stays so until the configuration, or the owner of the object, says otherwise.
"""


TOLD_ONCE = frozenset({Reason.ATTEMPTS_SPENT, Reason.FIRES_AGAIN, Reason.RUNBOOK_STOPPED})
"""What keeps a runbook from running for a target, whatever fires: a person is told of it once, not for each alert."""


class Verdict(msgspec.Struct, frozen=True):
    """A guard's answer: allow, defer (look again at `retry_at`, unix seconds, or when something changes), deny."""

    decision: Literal["allow", "defer", "deny"]
    reason: Reason
    detail: str = ""
    retry_at: float | None = None

    @classmethod
    def allow(cls) -> Verdict:
        return cls("allow", Reason.ALLOWED)

    @classmethod
    def defer(cls, reason: Reason, detail: str = "", *, retry_at: float | None = None) -> Verdict:
        return cls("defer", reason, detail, retry_at)

    @classmethod
    def deny(cls, reason: Reason, detail: str = "", *, retry_at: float | None = None) -> Verdict:
        return cls("deny", reason, detail, retry_at)

    @property
    def allowed(self) -> bool:
        return self.decision == "allow"
