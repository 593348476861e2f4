"""The actions by name. The engine runs them; the configuration checks steps against their parameters."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from bridge.actions.certificate_renew import CertificateRenew
from bridge.actions.checks import HttpCheck, PromqlCheck
from bridge.actions.command import Command
from bridge.actions.configmap_patch import ConfigMapPatch
from bridge.actions.configmap_restore import ConfigMapRestore
from bridge.actions.cordon import Cordon, Uncordon
from bridge.actions.drain import Drain
from bridge.actions.exec import Exec
from bridge.actions.helm_rollback import HelmRollback
from bridge.actions.hpa_create import HpaCreate
from bridge.actions.hpa_patch import HpaPatch
from bridge.actions.http_call import HttpCall
from bridge.actions.http_probe import HttpProbe
from bridge.actions.incident_tracker import IncidentTracker
from bridge.actions.job_run import JobRun
from bridge.actions.log_level import LogLevel
from bridge.actions.notify import Notify
from bridge.actions.object_apply import ObjectApply
from bridge.actions.object_delete import ObjectDelete
from bridge.actions.pod_remove import PodDelete, PodEvict
from bridge.actions.pvc_expand import PvcExpand
from bridge.actions.rollout_pause import RolloutPause, RolloutResume
from bridge.actions.rollout_restart import RolloutRestart
from bridge.actions.rollout_status import RolloutStatus
from bridge.actions.rollout_undo import RolloutUndo
from bridge.actions.runbook import RunRunbook
from bridge.actions.scale import Scale
from bridge.actions.sentinel_failover import SentinelFailover
from bridge.actions.set_env import SetEnv
from bridge.actions.set_image import SetImage
from bridge.actions.set_resources import SetResources
from bridge.actions.sql import Sql
from bridge.actions.status_page import StatusPage
from bridge.actions.tls_rotate import TlsRotate
from bridge.ports import Action

_WORKLOADS: tuple[Action, ...] = (
    RolloutRestart(),
    RolloutStatus(),
    RolloutUndo(),
    RolloutPause(),
    RolloutResume(),
    Scale(),
    HpaPatch(),
    HpaCreate(),
    SetResources(),
    SetEnv(),
    SetImage(),
    PodEvict(),
    PodDelete(),
)
_OBJECTS: tuple[Action, ...] = (
    Cordon(),
    Drain(),
    Uncordon(),
    ConfigMapPatch(),
    ConfigMapRestore(),
    LogLevel(),
    PvcExpand(),
    ObjectDelete(),
    ObjectApply(),
    JobRun(),
    IncidentTracker(),
)
_RELEASES: tuple[Action, ...] = (
    HelmRollback(),
    CertificateRenew(),
    TlsRotate(),
)
_OUTSIDE: tuple[Action, ...] = (
    Exec(),
    Sql(),
    SentinelFailover(),
    HttpCall(),
    HttpProbe(),
    StatusPage(),
    PromqlCheck(),
    HttpCheck(),
    Command(),
    Notify(),
    RunRunbook(),
)


def actions() -> dict[str, Action]:
    """Return every built-in action by its name."""
    built_in: tuple[Action, ...] = (*_WORKLOADS, *_OBJECTS, *_RELEASES, *_OUTSIDE)
    return {action.name: action for action in built_in}


def parameters() -> Mapping[str, type[BaseModel]]:
    """Return each action's parameters, for the check of runbooks."""
    return {name: action.params for name, action in actions().items()}
