"""`kubectl set image` of one container, by a tag that says what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.containers import ContainerParams, TemplateAction
from bridge.errors import InvalidInput, PlanError
from bridge.model.plan import Plan
from bridge.ports import ActionContext

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>sha256:[a-f0-9]{{64}}))?"
)
"""Source: distribution/reference, the grammar of image references; of digests SHA-256 alone."""
_LONGEST = 512


class ImageParams(ContainerParams):
    image: str | None = ParamField(default=None, max_length=_LONGEST, description="The whole image reference.")
    tag: str | None = ParamField(
        default=None, max_length=128, description="Only another tag, of the repository that is there now."
    )
    allow_latest: bool = ParamField(
        default=False, description="Whether `latest`, or no tag at all, is taken: then nobody can say what runs."
    )
    allow_repository: bool = ParamField(
        default=False,
        description="Whether the image may come from another repository than the one that is there now.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> ImageParams:
        if (self.image is None) == (self.tag is None):
            raise ValueError("give exactly one of image and tag")
        return self


class SetImage(TemplateAction):
    """Another image for one container, pulled from where it came from before unless told otherwise."""

    name = "set_image"
    summary = "Set the image of one container of a Deployment, StatefulSet or DaemonSet, as `kubectl set image` does."
    params: type[BaseModel] = ImageParams
    example: Mapping[str, Any] = {"name": "netweave-gateway", "container": "gateway", "tag": "1.4.3"}
    # The image that was there had pods that started; one that does not come up is not to stay the newest.
    undo_failed = True

    async def plan(self, context: ActionContext, params: ImageParams) -> Plan:
        """Plan the image; raise InvalidInput for what is no reference, PlanError for one that is not allowed."""
        workload, container = await self.container(context, params)
        present = str(container.document.get("image") or "")
        repository = _split(present)[0] if present else ""
        image = params.image if params.image is not None else f"{repository}:{params.tag}"
        wanted, tag, digest = _split(image)
        if not digest and tag in ("", "latest") and not params.allow_latest:
            raise PlanError(
                f"{image} does not say which version it is: give a tag or a digest, or set `allow_latest`"
            )
        if wanted != repository and not params.allow_repository:
            raise PlanError(
                f"{image} is not from {repository}, where the image of {container.name} in {workload.ref} comes "
                "from: give only a `tag`, or set `allow_repository`"
            )
        fields = (container.field("image", image),)
        summary = f"set the image of {container.name} in {workload.ref} from {present or 'none'} to {image}"
        return await self.rolled_out(context, workload, container, fields, summary)


def _split(image: str) -> tuple[str, str, str]:
    """Return repository, tag and digest of an image reference; raise InvalidInput."""
    match = _REFERENCE.fullmatch(image) if len(image) <= _LONGEST else None
    if match is None:
        raise InvalidInput(f"{image[:80]!r} is not an image reference such as registry.example/team/app:1.2.3")
    return match["repository"], match["tag"] or "", match["digest"] or ""
