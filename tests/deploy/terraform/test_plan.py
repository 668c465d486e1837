"""What Terraform would make of the table: valid, exactly as wide open as agreed, and nothing left to do afterwards."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy import bundle
from deploy.requirements import PYTHON
from shared import capacity, pipeline
from tests.deploy.terraform.checks import CHECKS, Check, of
from tests.deploy.terraform.conftest import PRODUCT
from tests.deploy.terraform.offline import ROOT, Resource, Workspace


def test_it_is_formatted(fresh: Workspace) -> None:
    ran = subprocess.run(
        ("terraform", "fmt", "-check", "-recursive", "-list=true", ROOT / "terraform"),
        env=dict(fresh.environment), capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "")


def test_it_is_valid(fresh: Workspace) -> None:
    assert json.loads(fresh.done("validate", "-json"))["valid"]


def test_its_own_tests_pass(fresh: Workspace) -> None:
    assert " 0 failed" in fresh.done("test")


def test_it_needs_one_provider_and_guesses_no_times() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "terraform").rglob("*.tf"))
    assert re.findall(r'required_providers \{\s*(\w+) = \{\s*source\s*=\s*"(.+)"', text) == [
        ("google", "hashicorp/google")
    ]
    assert set(re.findall(r'^(?:resource|data) "([a-z]+)_', text, re.M)) == {"google"}


def test_every_example_is_planned_here(smallest: list[Resource], product: list[Resource]) -> None:
    assert {path.name for path in (ROOT / "terraform/examples").iterdir()} == {"smallest.tfvars", "product.tfvars"}
    assert 100 < len(smallest) < len(product)


def test_a_peak_gets_the_instances_that_the_arithmetic_gives(product: list[Resource]) -> None:
    example = (ROOT / "terraform/examples/product.tfvars").read_text("utf-8")
    (photos,) = re.findall(r"^peak_images_per_s *= (\d+)$", example, re.M)
    (service,) = of(product, "cloud_run_v2_service")
    wanted = capacity.instances(pipeline.load().capacity["gcp"], float(photos), quota=3)
    assert service.values["template"][0]["scaling"][0]["max_instance_count"] == wanted == 2


def test_what_is_uploaded_is_each_functions_bundle(fresh: Workspace, smallest: list[Resource]) -> None:
    folder = fresh.folder / "build/functions"
    index: dict[str, str] = json.loads((folder / bundle.INDEX).read_text("utf-8"))
    digests = {stage: hashlib.sha256((folder / file).read_bytes()).hexdigest() for stage, file in index.items()}
    uploaded = {one.values["name"]: Path(one.values["source"]).name for one in of(smallest, "storage_bucket_object")}
    assert uploaded == {f"{stage}-{digests[stage]}.zip": file for stage, file in index.items()}
    assert all(file == f"{stage}-{digests[stage][:16]}.zip" for stage, file in index.items())


def test_functions_run_on_the_python_that_bundles_are_made_for(smallest: list[Resource]) -> None:
    runtimes = {one.values["build_config"][0]["runtime"] for one in of(smallest, "cloudfunctions2_function")}
    assert runtimes == {f"python{PYTHON.replace('.', '')}"}


def test_without_a_domain_nothing_costs_while_it_is_idle(smallest: list[Resource]) -> None:
    assert [one.address for one in smallest if one.type.startswith("google_compute")] == []
    assert [one.values["schedule"] for one in of(smallest, "cloud_scheduler_job") if not one.values["paused"]] == [
        "* * * * *"
    ]


def test_a_second_plan_changes_nothing(applied: Workspace) -> None:
    assert applied.terraform("plan", "-input=false", "-detailed-exitcode", PRODUCT).returncode == 0


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_plan_is_sound(product: list[Resource], check: Check) -> None:
    assert list(check(product)) == []


def test_the_rules_that_are_released_are_those_that_are_tested(product: list[Resource]) -> None:
    """`tests/deploy/rules` asks them on the emulator."""
    [ruleset], [release] = of(product, "firebaserules_ruleset"), of(product, "firebaserules_release")
    [file] = ruleset.values["source"][0]["files"]
    assert file["content"] == (ROOT / "firestore.rules").read_text("utf-8")
    assert release.values["name"] == "cloud.firestore"


def test_the_state_holds_no_key(product: list[Resource]) -> None:
    assert of(product, "service_account_key", "secret_manager_secret_version") == []


def test_what_the_rollout_owns_is_left_as_it_is_found(applied: Workspace, tmp_path: Path) -> None:
    def rolled_out(service: dict[str, Any]) -> None:
        template = service["template"][0]
        template["containers"][0]["image"] = "europe-west4-docker.pkg.dev/my-maskline/containers/segment@sha256:1234"
        template["revision"], template["labels"] = "segment-1234", {"commit": "1234"}
        service["traffic"] = [
            {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "segment-0", "percent": 95, "tag": None},
            {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "segment-1", "percent": 5, "tag": "canary"},
        ]
        unset = dict.fromkeys(("manual_instance_count", "max_instance_count", "scaling_mode"))
        service["scaling"] = [{"min_instance_count": 1, **unset}]
        service["client"], service["client_version"] = "cloud-run", "1"

    assert _plan_after(applied, tmp_path / "copy", rolled_out) == 0


def test_anything_else_that_drifted_is_put_back(applied: Workspace, tmp_path: Path) -> None:
    def drifted(service: dict[str, Any]) -> None:
        service["template"][0]["containers"][0]["env"].pop()

    assert _plan_after(applied, tmp_path / "copy", drifted) == 2


def _plan_after(applied: Workspace, folder: Path, change: Any) -> int:
    """Exit status of a plan after somebody else changed the GPU service: 0 nothing to do, 2 changes."""
    copy = applied.copy(folder)
    file = folder / "terraform/terraform.tfstate"
    state = json.loads(file.read_text())
    (service,) = (one for one in state["resources"] if one["type"] == "google_cloud_run_v2_service")
    change(service["instances"][0]["attributes"])
    file.write_text(json.dumps(state))
    ran = copy.terraform("plan", "-input=false", "-refresh=false", "-detailed-exitcode", PRODUCT)
    assert ran.returncode != 1, ran.stderr
    return ran.returncode
