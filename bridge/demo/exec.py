"""What a command inside a simulated container answers. Set by tests and by the demo; spoken by `websockets`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.demo.objects import Obj


@dataclass(frozen=True)
class ExecResult:
    """What a command printed, and how it ended."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0


ExecHandler = Callable[[Obj, str, list[str]], ExecResult]
"""Called with the pod, the container's name and the argument list."""


def status_frame(result: ExecResult) -> Obj:
    """The Status that ends an exec; a failure carries its exit code as a cause."""
    if result.exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code",
        "details": {"causes": [{"reason": "ExitCode", "message": str(result.exit_code)}]},
    }
