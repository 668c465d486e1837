"""What must hold for a planned system. Each check returns its complaints, so that planted faults can be told apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields

from shared import pipeline
from shared.settings import PREFIX, Settings
from tests.deploy.terraform.offline import ROOT, Resource

System = Sequence[Resource]
TABLE = pipeline.load()
TIMINGS = TABLE.timings["gcp"]

# Settings that only a machine of one's own has, and those whose default in the cloud is what the cloud needs.
LOCAL = {"DATA", "DOCUMENTS_URL", "BROKER_URL", "OBJECTS_URL", "SERVICES_URL", "IDLE_SECONDS"}
LEFT = {
    "DEADLINE_SECONDS", "BULK_DEADLINE_SECONDS", "UPLOAD_SECONDS", "MAX_CLAIMS", "CONCURRENCY", "BATCH_WAIT_MS",
    "MODEL", "QUOTAS", "CACHE", "DECODE_PROCESSES", "JWKS_URL", "TOKEN_ISSUER", "TOKEN_AUDIENCE", "LOG_LEVEL",
    "QUOTA_PER_SECOND", "QUOTA_BURST", "QUOTA_DAILY_PHOTOS", "QUOTA_DAILY_BYTES", "QUOTA_UNFINISHED",
}  # fmt: skip

# Who may do what, exactly. `run.invoker service x` is spoken "may call x".
AGENT = "service-123@gcp-sa-pubsub"
MATRIX: Mapping[str, set[str]] = {
    "accept": {
        "datastore.user project",
        "storage.objectViewer bucket uploads",
        "storage.objectViewer bucket results",
        "storage.objectCreator bucket results",
        "pubsub.publisher topic segment",
    },
    "api": {
        "datastore.user project",
        "storage.objectUser bucket uploads",
        "storage.objectUser bucket results",
        "iam.serviceAccountTokenCreator account api",
    },
    "settle": {
        "datastore.user project",
        "storage.objectUser bucket uploads",
        "storage.objectUser bucket results",
        "pubsub.publisher topic segment",
    },
    "segment": {
        "datastore.user project",
        "storage.objectViewer bucket uploads",
        "storage.objectUser bucket results",
        "storage.objectViewer bucket models",
        "pubsub.publisher topic segment",
    },
    "train": {
        "datastore.user project",
        "storage.objectViewer bucket uploads",
        "storage.objectViewer bucket results",
        "storage.objectUser bucket models",
    },
    "prewarm": {"run.developer service segment", "iam.serviceAccountUser account segment"},
    "push": {f"run.invoker service {stage}" for stage in ("accept", "settle", "segment", "prewarm")},
    "build": {
        "logging.logWriter project",
        "storage.objectViewer project if function sources only",
        "storage.objectViewer bucket sources",
        "artifactregistry.writer repository functions",
    },
    "deploy": {"run.invoker service segment", "iam.serviceAccountOpenIdTokenCreator account deploy"}
    | {
        f"{role} project"
        for role in (
            "artifactregistry.admin", "cloudbuild.builds.editor", "cloudfunctions.admin", "cloudscheduler.admin",
            "compute.loadBalancerAdmin", "compute.securityAdmin", "datastore.owner", "firebaserules.admin",
            "iam.serviceAccountAdmin", "iam.serviceAccountUser", "logging.configWriter", "logging.logWriter",
            "monitoring.editor", "pubsub.admin", "resourcemanager.projectIamAdmin", "run.admin",
            "serviceusage.serviceUsageAdmin", "storage.admin",
        )
    },
    AGENT: {f"pubsub.subscriber subscription {name}" for name in TABLE.subscriptions}
    | {f"pubsub.publisher topic {name}" for name in ("uploads-dead", "segment-dead", "sweep-dead")},
    "service-123@gs-project-accounts": {"pubsub.publisher topic uploads"},
    "allUsers": {"run.invoker service api"},
}  # fmt: skip


def of(system: System, *types: str) -> list[Resource]:
    return [resource for resource in system if resource.type.removeprefix("google_") in types]


def grants(system: System) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in system:
        if one.type.endswith("_iam_member"):
            member = re.sub(
                r"^serviceAccount:(maskline-)?|(@demo)?\.iam\.gserviceaccount\.com$", "", one.values["member"]
            )
            found.setdefault(member, set()).add(f"{one.values['role'].removeprefix('roles/')} {_scope(one)}")
    return found


def _scope(grant: Resource) -> str:
    values = grant.values
    match grant.type.removeprefix("google_").removesuffix("_iam_member"):
        case "project":
            return " if ".join(["project", *(c["title"] for c in values["condition"])])
        case "storage_bucket":
            return f"bucket {values['bucket'].rsplit('-', 1)[1]}"
        case "service_account":
            return f"account {re.split('[/@]', values['service_account_id'])[-2].removeprefix('maskline-')}"
        case "cloud_run_v2_service":
            return f"service {values['name']}"
        case "artifact_registry_repository":
            return f"repository {values['repository']}"
        case kind:
            word = kind.rsplit("_", 1)[1]
            return f"{word} {values[word]}"


def exact_grants(system: System) -> Iterator[str]:
    found = grants(system)
    for member in sorted(found.keys() | MATRIX.keys()):
        more, less = (
            found.get(member, set()) - MATRIX.get(member, set()),
            MATRIX.get(member, set()) - found.get(member, set()),
        )
        yield from (f"{member} should not have {grant}" for grant in sorted(more))
        yield from (f"{member} should have {grant}" for grant in sorted(less))


def no_basic_roles(system: System) -> Iterator[str]:
    for one in system:
        if one.values.get("role") in ("roles/owner", "roles/editor", "roles/viewer"):
            yield f"{one.address} grants a basic role"


def open_only_the_api(system: System) -> Iterator[str]:
    for one in system:
        if one.values.get("member") in ("allUsers", "allAuthenticatedUsers") and one.values.get("name") != "api":
            yield f"{one.address} is open to everybody"
    for one in of(system, "storage_bucket"):
        if one.values["public_access_prevention"] != "enforced" or not one.values["uniform_bucket_level_access"]:
            yield f"{one.address} could be made public"


def sound_pushes(system: System) -> Iterator[str]:
    granted = grants(system).get(AGENT, set())
    for one in of(system, "pubsub_subscription"):
        name, values = one.values["name"], one.values
        if not values["expiration_policy"] or values["expiration_policy"][0]["ttl"] != "":
            yield f"{name} expires"
        if name.endswith("-parked"):
            continue
        push = values["push_config"][0]
        if not push["oidc_token"] or push["oidc_token"][0]["audience"] not in push["push_endpoint"]:
            yield f"{name} pushes without a token for its endpoint"
        if not values["retry_policy"]:
            yield f"{name} has no retry policy"
        if not values["dead_letter_policy"]:
            yield f"{name} has no dead-letter topic"
        if f"pubsub.subscriber subscription {name}" not in granted:
            yield f"{name}: its dead letters cannot be taken away"
        if f"pubsub.publisher topic {TABLE.subscriptions[name].dead_letter}" not in granted:
            yield f"{name}: its dead letters cannot be published"


def frugal_gpus(system: System) -> Iterator[str]:
    """Zonal, billed by instance, from zero, and never more of them than the quota."""
    for one in of(system, "cloud_run_v2_service", "cloud_run_v2_job"):
        template = one.values["template"][0]
        inner = template if one.type.endswith("service") else template["template"][0]
        resources = inner["containers"][0]["resources"][0]
        if not inner["gpu_zonal_redundancy_disabled"]:
            yield f"{one.address} pays for zonal redundancy"
        if inner["node_selector"][0]["accelerator"] != "nvidia-l4" or resources["limits"].get("nvidia.com/gpu") != "1":
            yield f"{one.address} has no L4"
        if one.type.endswith("service"):
            if resources["cpu_idle"] is not False:
                yield f"{one.address} is not billed by instance"
            if template["scaling"][0]["min_instance_count"] != 0 or one.values.get("scaling"):
                yield f"{one.address} does not start at zero"
            if template["scaling"][0]["max_instance_count"] > 3:
                yield f"{one.address} may want more GPUs than a new project has"


def known_settings(system: System) -> Iterator[str]:
    """Exactly what `Settings` reads, in values that it accepts."""
    known = {f.name.upper() for f in fields(Settings)}
    for address, environment in environments(system).items():
        ours = {name.removeprefix(PREFIX) for name in environment if name.startswith(PREFIX)}
        yield from (f"{address}: nobody reads {PREFIX}{name}" for name in sorted(ours - known))
        yield from (f"{address}: {PREFIX}{name} is not set" for name in sorted(known - LOCAL - LEFT - ours))
        settings = Settings.from_env(environment)
        if (settings.lease_seconds, settings.work_budget_seconds) != (TIMINGS.lease, TIMINGS.work_budget):
            yield f"{address}: its times are not those of pipeline.yaml"


def environments(system: System) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for one in of(system, "cloudfunctions2_function"):
        found[one.address] = one.values["service_config"][0]["environment_variables"]
    for one in of(system, "cloud_run_v2_service", "cloud_run_v2_job"):
        template = one.values["template"][0]
        inner = template if one.type.endswith("service") else template["template"][0]
        found[one.address] = {row["name"]: row["value"] for row in inner["containers"][0]["env"]}
    return found


def agreeing_times(system: System) -> Iterator[str]:
    """A push is given up when its ack deadline is over: the stage must not be cut off before."""
    timeouts = {one.values["name"]: one.values["service_config"][0]["timeout_seconds"] for one in functions(system)}
    for one in of(system, "cloud_run_v2_service"):
        timeouts[one.values["name"]] = float(one.values["template"][0]["timeout"].removesuffix("s"))
    for name, seconds in timeouts.items():
        if seconds != TABLE.stages[name].timeout:
            yield f"{name} does not have the timeout of pipeline.yaml"
    for one in pushes(system):
        row = TABLE.subscriptions[one.values["name"]]
        if one.values["ack_deadline_seconds"] != row.ack_seconds(TIMINGS):
            yield f"{row.name} does not have the ack deadline of pipeline.yaml"
        if timeouts[row.stage] < one.values["ack_deadline_seconds"]:
            yield f"{row.stage} is cut off before the ack deadline of {row.name}"
        retry = one.values["retry_policy"]
        if retry and retry[0] | {"minimum_backoff": "10s", "maximum_backoff": "600s"} != retry[0]:
            yield f"{row.name} does not have the backoff of pipeline.yaml"
    for one in of(system, "cloud_run_v2_service"):
        probe = one.values["template"][0]["containers"][0]["startup_probe"][0]
        if probe["failure_threshold"] * probe["period_seconds"] > 240 or probe["http_get"][0]["path"] != "/readyz":
            yield f"{one.address} does not wait for readiness as long as Cloud Run allows"


def matching_concurrency(system: System) -> Iterator[str]:
    for one in of(system, "cloud_run_v2_service"):
        settings = Settings.from_env(environments(system)[one.address])
        template = one.values["template"][0]
        if template["max_instance_request_concurrency"] != settings.instance_capacity:
            yield f"{one.address} gets another number of requests than an instance takes"
        if template["scaling"][0]["max_instance_count"] != settings.max_instances:
            yield f"{one.address} may have another number of instances than the settings say"


def safe_ends(system: System) -> Iterator[str]:
    """Nothing that holds data goes with a slip of the hand, no API is switched off under others."""
    for one in system:
        if one.values.get("disable_on_destroy"):
            yield f"{one.address} would switch off the API"
        if one.values.get("deletion_protection") is False or one.values.get("force_destroy"):
            yield f"{one.address} is not protected"
        if one.type == "google_firestore_database" and one.values["deletion_policy"] != "ABANDON":
            yield f"{one.address} is not protected"


def runbook_links(system: System) -> Iterator[str]:
    headings = set(re.findall(r"^## ([a-z-]+)$", (ROOT / "docs/runbook.md").read_text("utf-8"), re.M))
    linked = set()
    for one in of(system, "monitoring_alert_policy"):
        content = one.values["documentation"][0]["content"]
        anchor = re.search(r"docs/runbook\.md#([a-z-]+)$", content)
        linked.add(anchor[1] if anchor else "")
        if not one.values["notification_channels"]:
            yield f"{one.address} tells nobody"
    yield from (f"no page of the runbook says what to do about {name}" for name in sorted(linked - headings))
    yield from (f"no alert leads to the runbook's {name}" for name in sorted(headings - linked))


def parity(system: System) -> Iterator[str]:
    """The table, what is planned, and the folders of functions are one."""
    stages = {s.name for s in TABLE.stages.values() if s.runtime == "function"}
    pairs: dict[str, tuple[set[str], set[str]]] = {
        "functions": ({one.values["name"] for one in functions(system)}, stages),
        "topics": (_names(of(system, "pubsub_topic")), set(TABLE.topics)),
        "subscriptions": (_names(pushes(system)), set(TABLE.subscriptions)),
        "schedules": (_names(of(system, "cloud_scheduler_job")), set(TABLE.schedules)),
        "jobs": (_names(of(system, "cloud_run_v2_job")), set(TABLE.jobs)),
        "containers": (
            _names(of(system, "cloud_run_v2_service")),
            {s.name for s in TABLE.stages.values() if s.runtime == "container"},
        ),
    }
    for word, (planned, wanted) in pairs.items():
        yield from (f"{word}: {name} is not in pipeline.yaml" for name in sorted(planned - wanted))
        yield from (f"{word}: {name} is not planned" for name in sorted(wanted - planned))
    for one in pushes(system):
        row = TABLE.subscriptions[one.values["name"]]
        if (one.values["filter"] or "") != row.filter:
            yield f"{row.name} does not have the filter of pipeline.yaml"
    for one in functions(system):
        stage = TABLE.stages[one.values["name"]]
        if one.values["build_config"][0]["entry_point"] != stage.entry:
            yield f"{stage.name} does not have the entry point of pipeline.yaml"


def functions(system: System) -> list[Resource]:
    return of(system, "cloudfunctions2_function")


def pushes(system: System) -> list[Resource]:
    return [one for one in of(system, "pubsub_subscription") if one.values["push_config"]]


def _names(resources: Sequence[Resource]) -> set[str]:
    return {one.values["name"] for one in resources}


def indexes(system: System) -> set[tuple[str, ...]]:
    """Each `(collection, field, …)`, a minus before a field that descends."""
    return {
        (
            one.values["collection"],
            *(f"{'-' * (row['order'] == 'DESCENDING')}{row['field_path']}" for row in one.values["fields"]),
        )
        for one in of(system, "firestore_index")
    }


Check = Callable[[System], Iterator[str]]
CHECKS: tuple[Check, ...] = (
    exact_grants, no_basic_roles, open_only_the_api, sound_pushes, frugal_gpus, known_settings, agreeing_times,
    matching_concurrency, safe_ends, runbook_links, parity,
)  # fmt: skip


def complaints(system: System) -> list[str]:
    return [complaint for check in CHECKS for complaint in check(system)]
