"""What an error of Google's means for whoever sets the project up: the cause, and the next step. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from shared.errors import MasklineError


@dataclass(frozen=True, slots=True)
class Diagnosis:
    cause: str
    step: str


_APPLY = "run `terraform apply` for this project: it makes what is missing"
_NO_PROJECT = re.compile(r"CONSUMER_INVALID|USER_PROJECT_DENIED|[Pp]roject not found|denied on resource project")
_NO_GPU = re.compile(r"do not have quota for using GPUs|Quota violated: NvidiaL4")
GPU_STEP = (
    "ask for NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion on the console's quota page, or choose another region;"
    " a free-trial account must be upgraded first"
)
_PERMISSIONS = (  # how the services spell it when they say no more
    re.compile(r"[Pp]ermission '?([\w./]+)'? denied"),
    re.compile(r"does not have ([\w.]+) access"),
)


def diagnose(error: BaseException, project: str) -> Diagnosis:
    """`error` is Google's, or one of ours that came of it."""
    while isinstance(error, MasklineError) and error.__cause__ is not None:
        error = error.__cause__
    for rule in (_credentials, _project, _disabled, _gpu, _permission, _missing, _passing):
        found = rule(error, project)
        if found is not None:
            return found
    return Diagnosis(str(error), "see the message; docs/how-to/deploy.md has the whole way")


def _credentials(error: BaseException, project: str) -> Diagnosis | None:
    from google.api_core.exceptions import Unauthenticated, Unauthorized
    from google.auth.exceptions import DefaultCredentialsError, RefreshError

    step = "run `gcloud auth application-default login`, or run as a service account"
    if isinstance(error, DefaultCredentialsError):
        return Diagnosis("no Google credentials were found", step)
    if isinstance(error, RefreshError | Unauthenticated | Unauthorized):
        return Diagnosis("the Google credentials have expired or were revoked", step)
    return None


def _project(error: BaseException, project: str) -> Diagnosis | None:
    if not _NO_PROJECT.search(_said(error)):
        return None
    return Diagnosis(
        f"the project {project!r} does not exist, or this identity may not see it",
        "set MASKLINE_PROJECT to the project's id (not its name): `gcloud projects list`",
    )


def _disabled(error: BaseException, project: str) -> Diagnosis | None:
    if "SERVICE_DISABLED" not in _said(error):
        return None
    service = _metadata(error).get("service") or "which the message names"
    return Diagnosis(
        f"the API {service} is not enabled in the project {project!r}",
        f"run `terraform apply`, or `gcloud services enable {service} --project={project}`; it takes a minute",
    )


def _gpu(error: BaseException, project: str) -> Diagnosis | None:
    if not _NO_GPU.search(_said(error)):
        return None
    return Diagnosis("the project has no quota for L4 GPUs on Cloud Run, or has used it up", GPU_STEP)


def _permission(error: BaseException, project: str) -> Diagnosis | None:
    from google.api_core.exceptions import Forbidden

    if not isinstance(error, Forbidden):
        return None
    known = _metadata(error).get("permission") or _spelled(_said(error))
    return Diagnosis(
        f"this identity lacks the permission {known}" if known else "this identity may not do that",
        "grant a role that holds it; each stage's roles are in terraform/identities.tf, and new ones take minutes",
    )


def _missing(error: BaseException, project: str) -> Diagnosis | None:
    from google.api_core.exceptions import FailedPrecondition, NotFound

    if isinstance(error, FailedPrecondition) and "requires an index" in str(error):
        return Diagnosis("Firestore lacks an index, or still builds it", f"{_APPLY}; a new index takes minutes")
    if not isinstance(error, NotFound):
        return None
    what = "the Firestore database" if "database" in str(error) else "something that this release needs"
    return Diagnosis(f"{what} does not exist in the project {project!r}", _APPLY)


def _passing(error: BaseException, project: str) -> Diagnosis | None:
    from google.api_core.exceptions import RetryError, ServerError, TooManyRequests
    from google.auth.exceptions import TransportError

    if isinstance(error, TooManyRequests):
        return Diagnosis("a quota of the project is used up", "see IAM & Admin → Quotas in the console, or wait")
    if isinstance(error, ServerError | RetryError | TransportError | OSError):
        return Diagnosis("Google Cloud cannot be reached now", "check the network, then try again")
    return None


def _said(error: BaseException) -> str:
    return f"{getattr(error, 'reason', '')} {error}"


def _metadata(error: BaseException) -> dict[str, str]:
    """Of the ErrorInfo that most answers carry: `service`, `permission`, `resource`, …"""
    found: Any = getattr(error, "metadata", None)
    return dict(found or {})


def _spelled(text: str) -> str:
    return next((match[1] for pattern in _PERMISSIONS if (match := pattern.search(text))), "")
