"""What commands inside simulated containers do. Set by tests and by the demo; called by `api`, spoken by `server`.

A handler answers for the containers that it was added for, or returns None for a command that is not its own. What
no handler knows is looked up among a few programs that every image is thought to have; the rest does not start, as
where the executable is not in the image.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bridge.demo.objects import Obj, dig, name_of, namespace_of


@dataclass(frozen=True)
class ExecResult:
    """What a command printed, and how it ended."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    """How long it takes, after it has printed."""
    error: str = ""
    """Why it was not started, or how its connection failed: told in place of an exit code."""


ExecHandler = Callable[[Obj, str, list[str]], "ExecResult | None"]
"""Called with the pod, the container's name and the argument list."""


class Programs:
    """The handlers of all containers, by patterns of namespace, pod and container (`redis-*`)."""

    def __init__(self) -> None:
        self._handlers: list[tuple[tuple[str, str, str], ExecHandler]] = []

    def add(self, handler: ExecHandler, *, namespace: str = "*", pod: str = "*", container: str = "*") -> None:
        """Let `handler` answer; of several that fit, the one added last is asked first."""
        self._handlers.insert(0, ((namespace, pod, container), handler))

    def run(self, pod: Obj, container: str, command: list[str]) -> ExecResult:
        place = (namespace_of(pod), name_of(pod), container)
        for patterns, handler in self._handlers:
            if all(map(fnmatchcase, place, patterns)):
                result = handler(pod, container, command)
                if result is not None:
                    return result
        return _common(pod, container, command)


def _common(pod: Obj, container: str, command: list[str]) -> ExecResult:
    """The programs of every image."""
    program, *arguments = command
    name = program.rpartition("/")[2]
    if name == "true":
        return ExecResult()
    if name == "false":
        return ExecResult(exit_code=1)
    if name == "echo":
        return ExecResult(" ".join(arguments) + "\n")
    if name == "hostname":
        return ExecResult(name_of(pod) + "\n")
    if name == "printenv":
        return _printenv(pod, container, arguments)
    if name == "sh" and len(arguments) == 2 and arguments[0] == "-c" and arguments[1].startswith("exit "):
        code = arguments[1].removeprefix("exit ")
        return ExecResult(exit_code=int(code) % 256 if code.isdigit() else 2)
    return ExecResult(error=not_started(program))


def _printenv(pod: Obj, container: str, arguments: list[str]) -> ExecResult:
    entry = next(item for item in pod["spec"]["containers"] if item["name"] == container)
    values = {item["name"]: item.get("value", "") for item in entry.get("env") or ()}
    if not arguments:
        return ExecResult("".join(f"{key}={value}\n" for key, value in values.items()))
    found = [values[key] for key in arguments if key in values]
    return ExecResult("".join(f"{value}\n" for value in found), exit_code=0 if len(found) == len(arguments) else 1)


def not_started(program: str) -> str:
    """The container runtime's words for a program that is not there."""
    return (
        "Internal error occurred: error executing command in container: failed to exec in container: failed to start "
        'exec "simulated": OCI runtime exec failed: exec failed: unable to start container process: exec: '
        f"{json.dumps(program)}: executable file not found in $PATH: unknown"
    )


def is_running(pod: Obj, container: str) -> bool:
    statuses = dig(pod, "status", "containerStatuses", default=[])
    return any(entry["name"] == container and "running" in entry["state"] for entry in statuses)


def status_frame(result: ExecResult) -> Obj:
    """The Status that ends an exec; a failure carries its exit code as a cause."""
    if result.error:
        causes = {"causes": [{"message": result.error}]}
        text = f"Internal error occurred: {result.error}"
        failure = {"status": "Failure", "message": text, "reason": "InternalError", "details": causes, "code": 500}
        return {"metadata": {}, **failure}
    if result.exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code",
        "details": {"causes": [{"reason": "ExitCode", "message": str(result.exit_code)}]},
    }
