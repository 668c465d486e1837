"""Every setting, read once from the environment, checked together: the only module that reads `os.environ`.

`docs/reference/settings.md` lists them; a test holds the two together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from shared import capacity
from shared.errors import Misconfigured

PREFIX = "MASKLINE_"
Profile = Literal["local", "emulator", "gcp"]
EMULATOR_VARIABLES = (
    "FIRESTORE_EMULATOR_HOST",
    "PUBSUB_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
    "FIREBASE_AUTH_EMULATOR_HOST",
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")  # Cloud Storage's rule; here also a folder's name
_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?(/[^\s?#]*)?")


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are in seconds unless the name says otherwise."""

    profile: Profile
    project: str
    region: str  # gcp profile: where Cloud Run's services and jobs are
    data: Path  # local profile: databases, buckets, run files
    url: str  # the public base URL of the gateway
    documents_url: str  # emulator profile: Firestore
    broker_url: str  # local profile, and the emulator profile's Pub/Sub
    objects_url: str  # local profile, and the emulator profile's Cloud Storage
    services_url: str  # emulator profile: a stand-in for Cloud Run; empty: this machine's scaler
    uploads_bucket: str
    results_bucket: str
    lease_seconds: float
    work_budget_seconds: float  # hard stop for one claim's work
    ack_deadline_seconds: float
    deadline_seconds: float  # interactive lane: accepted → ended
    bulk_deadline_seconds: float
    upload_seconds: float  # an announced upload URL lives this long
    retention_seconds: float  # the record and its mask are deleted after this
    sweep_seconds: float
    max_claims: int
    max_instances: int
    concurrency: int  # requests that one instance takes at once; 0: derived from max_batch
    idle_seconds: float  # an instance without requests for so long is stopped
    max_batch: int  # photos in the workers of an instance at once
    batch_wait_ms: float
    decode_processes: int  # above 0: each worker has a decoder in a process of its own
    model: str  # bundle directory, empty: the starter bundle
    quotas: bool
    quota_per_second: float  # photos that one user may announce, on average
    quota_burst: int  # photos at once
    quota_daily_photos: int
    quota_daily_bytes: int
    quota_unfinished: int  # photos announced and not ended
    cache: bool
    jwks_url: str  # key set that ID tokens are verified against
    token_issuer: str
    token_audience: str
    push_identity: str  # gcp profile: e-mail of the service account that Pub/Sub calls the stages as
    log_level: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
        """`overrides` (by field name, None: not given) count more than the environment.

        Raises `Misconfigured` naming every missing, malformed or contradictory setting at once.
        """
        given = {PREFIX + name.upper(): _text(value) for name, value in overrides.items() if value is not None}
        return _read(dict(os.environ if environ is None else environ) | given)

    @property
    def instance_capacity(self) -> int:
        """Requests that one instance takes at once."""
        return self.concurrency or capacity.concurrency(self.max_batch)

    def environment(self) -> dict[str, str]:
        """This process's environment with exactly these settings in it: what a child process gets."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return kept | {PREFIX + f.name.upper(): _text(getattr(self, f.name)) for f in fields(self)}


def _text(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self.environ.get(PREFIX + name) or default

    def matching(self, name: str, default: str, pattern: re.Pattern[str], what: str) -> str:
        value = self.text(name, default)
        if not pattern.fullmatch(value):
            self.problems.append(f"{PREFIX}{name} must be {what}, not {value!r}")
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            self.problems.append(f"{PREFIX}{name} must be one of {', '.join(choices)}, not {value!r}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.choice(name, "on" if default else "off", ("on", "off", "1", "0", "true", "false"))
        return value in ("on", "1", "true")

    def number(self, name: str, default: float, low: float, high: float = 1e9) -> float:
        return self._number(name, default, low, high, float)

    def count(self, name: str, default: int, low: int, high: int = 1_000_000) -> int:
        return int(self._number(name, default, low, high, int))

    def _number(self, name: str, default: float, low: float, high: float, kind: Callable[[str], float]) -> float:
        raw = self.environ.get(PREFIX + name)
        if raw is None or raw == "":
            return default
        try:
            value = kind(raw)
        except ValueError:
            self.problems.append(f"{PREFIX}{name} must be a number, not {raw!r}")
            return default
        if not low <= value <= high:
            self.problems.append(f"{PREFIX}{name} must be between {low:g} and {high:g}, not {raw}")
        return value


def _read(environ: Mapping[str, str]) -> Settings:
    reader = _Reader(environ)
    profile: Profile = reader.choice("PROFILE", "local", ("local", "emulator", "gcp"))  # type: ignore[assignment]
    cloud = profile == "gcp"
    lease = reader.number("LEASE_SECONDS", 150 if cloud else 30, 0.5, 600)
    ack_deadline = capacity.LONGEST_ACK if cloud else max(60, capacity.ACK_RATIO * lease)
    url = reader.matching("URL", "http://127.0.0.1:8080", _URL, "an http:// or https:// URL")
    project = reader.text("PROJECT", "maskline-local")
    own = f"{project}-" if cloud else ""  # bucket names are global there
    settings = Settings(
        profile=profile,
        project=project,
        region=reader.text("REGION", "us-central1"),
        data=Path(reader.text("DATA", "./data")),
        url=url,
        documents_url=reader.text("DOCUMENTS_URL", ""),
        broker_url=reader.text("BROKER_URL", ""),
        objects_url=reader.text("OBJECTS_URL", ""),
        services_url=reader.text("SERVICES_URL", ""),
        uploads_bucket=reader.matching("UPLOADS_BUCKET", f"{own}uploads", _BUCKET, "the name of a bucket"),
        results_bucket=reader.matching("RESULTS_BUCKET", f"{own}results", _BUCKET, "the name of a bucket"),
        lease_seconds=lease,
        work_budget_seconds=reader.number("WORK_BUDGET_SECONDS", capacity.WORK_SHARE * lease, 0.1, 600),
        ack_deadline_seconds=reader.number("ACK_DEADLINE_SECONDS", ack_deadline, 1, 600),
        deadline_seconds=reader.number("DEADLINE_SECONDS", 900, 1, 604_800),
        bulk_deadline_seconds=reader.number("BULK_DEADLINE_SECONDS", 86_400, 1, 604_800),
        upload_seconds=reader.number("UPLOAD_SECONDS", 900, 1, 604_800),
        retention_seconds=reader.number("RETENTION_SECONDS", 30 * 86_400, 60),
        sweep_seconds=reader.number("SWEEP_SECONDS", 60 if cloud else 5, 0.1, 3600),
        max_claims=reader.count("MAX_CLAIMS", 3, 1, 100),
        max_instances=reader.count("MAX_INSTANCES", 3 if cloud else 1, 1, 1000),
        concurrency=reader.count("CONCURRENCY", 0, 0, 1000),
        idle_seconds=reader.number("IDLE_SECONDS", 60, 0.1, 86_400),
        max_batch=reader.count("MAX_BATCH", 8, 1, 1024),
        batch_wait_ms=reader.number("BATCH_WAIT_MS", 10, 0, 10_000),
        decode_processes=reader.count("DECODE_PROCESSES", 0, 0, 64),
        model=reader.text("MODEL", ""),
        quotas=reader.flag("QUOTAS", cloud),
        quota_per_second=reader.number("QUOTA_PER_SECOND", 10, 0.01),
        quota_burst=reader.count("QUOTA_BURST", 20, 1),
        quota_daily_photos=reader.count("QUOTA_DAILY_PHOTOS", 2000, 0, 1_000_000_000),
        quota_daily_bytes=reader.count("QUOTA_DAILY_BYTES", 5 << 30, 0, 1 << 60),
        quota_unfinished=reader.count("QUOTA_UNFINISHED", 200, 1, 5000),
        cache=reader.flag("CACHE", True),
        jwks_url=reader.text("JWKS_URL", _GOOGLE_KEYS if cloud else ""),
        token_issuer=reader.text("TOKEN_ISSUER", f"https://securetoken.google.com/{project}"),
        token_audience=reader.text("TOKEN_AUDIENCE", project),
        push_identity=reader.text("PUSH_IDENTITY", ""),
        log_level=reader.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
    )
    problems = reader.problems + _contradictions(settings) + _emulators_in_production(profile, environ)
    if problems:
        raise Misconfigured("; ".join(problems))
    return settings


_GOOGLE_KEYS = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"


def _contradictions(settings: Settings) -> list[str]:
    """The order of times that the protocol stands on: work budget < lease, 1.5 × lease ≤ ack deadline."""
    problems = []
    if settings.work_budget_seconds >= settings.lease_seconds:
        problems.append("MASKLINE_WORK_BUDGET_SECONDS must be below MASKLINE_LEASE_SECONDS")
    if settings.ack_deadline_seconds < capacity.ACK_RATIO * settings.lease_seconds:
        problems.append("MASKLINE_ACK_DEADLINE_SECONDS must be at least 1.5 × MASKLINE_LEASE_SECONDS")
    if settings.batch_wait_ms / 1000 >= settings.work_budget_seconds:
        problems.append("MASKLINE_BATCH_WAIT_MS must be below MASKLINE_WORK_BUDGET_SECONDS")
    if settings.uploads_bucket == settings.results_bucket:
        problems.append("MASKLINE_UPLOADS_BUCKET and MASKLINE_RESULTS_BUCKET must differ: results would trigger work")
    return problems


def _emulators_in_production(profile: Profile, environ: Mapping[str, str]) -> list[str]:
    if profile != "gcp":
        return []
    return [f"{name} is set: production never talks to an emulator" for name in EMULATOR_VARIABLES if name in environ]
