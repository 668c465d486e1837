"""cloudbuild.yaml, read, and its steps run as far as they can here: with stand-ins for docker, terraform and gcloud."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import candidate

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "cloudbuild.yaml").read_text("utf-8")
BUILD: Mapping[str, Any] = yaml.safe_load(TEXT)
STEPS: Mapping[str, Mapping[str, Any]] = {step["id"]: step for step in BUILD["steps"]}
BUILTIN = {"PROJECT_ID", "COMMIT_SHA", "SHORT_SHA", "BUILD_ID"}
TERRAFORM = {path.name: path.read_text("utf-8") for path in (ROOT / "terraform").glob("*.tf")}
TRIGGER = (ROOT / "terraform/modules/builds/main.tf").read_text("utf-8")


# -- read


def before(step: str) -> set[str]:
    """Every step that must have succeeded."""
    waits = {one for one in STEPS[step]["waitFor"] if one != "-"}
    return waits.union(*(before(one) for one in waits))


def test_every_step_waits_for_what_must_have_succeeded() -> None:
    order = ["check", "test", "bundle", "image", "plan", "apply", "candidate", "golden", "hand-over"]
    assert list(STEPS) == order
    assert before("image") == before("bundle") == {"check", "test"}
    for number, step in enumerate(order[4:], 4):
        assert before(step) == set(order[:number])
    assert not any(step.get("allowFailure") or step.get("allowExitCodes") for step in STEPS.values())


def test_images_of_the_steps_are_pinned() -> None:
    for step in STEPS.values():
        assert re.search(r":\d+\.\d+\.\d+(-[a-z]+)?$", step["name"]), step["name"]


def test_substitutions_are_declared_used_and_given_by_the_trigger() -> None:
    used = set(re.findall(r"\$\{?(\w+)", TEXT))
    own = {name for name in used if name.startswith("_")}
    assert used - own <= BUILTIN
    assert own == set(BUILD["substitutions"])
    given = re.search(r"substitutions = \{(.*)\}", TRIGGER)
    assert given is not None
    assert set(re.findall(r"(\w+) =", given[1])) == own
    assert f'default     = "{BUILD["substitutions"]["_REGION"]}"' in TERRAFORM["variables.tf"]


def test_it_runs_as_the_account_that_terraform_makes_for_it() -> None:
    account = "maskline-deploy@$PROJECT_ID.iam.gserviceaccount.com"
    assert BUILD["serviceAccount"] == f"projects/$PROJECT_ID/serviceAccounts/{account}"
    assert 'account_id   = "maskline-${each.key}"' in TERRAFORM["identities.tf"]
    assert 'google_service_account.this["deploy"].name' in TERRAFORM["builds.tf"]
    assert BUILD["options"]["logging"] == "CLOUD_LOGGING_ONLY"  # an account of one's own has no default bucket
    assert 'filename        = "cloudbuild.yaml"' in TRIGGER


def test_it_holds_no_secret() -> None:
    assert not re.search(r"(?i)availableSecrets|secretEnv|password|private.?key|api.?key", TEXT)


def test_what_the_steps_call_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    for step in STEPS.values():
        match step.get("entrypoint"), step["args"]:
            case "make", [target]:
                assert target in targets
            case "sh" | "bash", [script, *_]:
                assert (ROOT / script).exists()
            case (("python3" | ".venv/bin/python"), ["-m", module, *_]):
                assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists()
            case None, ["-chdir=terraform", "apply", *_]:
                pass
            case other:
                raise AssertionError(other)


def test_what_one_step_leaves_is_what_the_next_one_takes() -> None:
    image, plan = (ROOT / "deploy/image.sh").read_text("utf-8"), (ROOT / "deploy/plan.sh").read_text("utf-8")
    assert "> build/image\n" in image
    assert "cat build/image" in plan
    assert str(candidate.IMAGE) == "build/image"
    assert f"-out={STEPS['apply']['args'][-1]}" in plan
    assert str(candidate.FOUND) in STEPS["golden"]["args"]
    assert f'default     = "{candidate.PLACEHOLDER}"' in TERRAFORM["variables.tf"]


def test_checking_is_made_of_commands_that_are_here() -> None:
    shown = subprocess.run(["make", "-n", "-o", ".venv/test", "check"], cwd=ROOT, capture_output=True, text=True)
    commands = {line.split()[0] for line in shown.stdout.splitlines() if line.startswith(".venv/")}
    assert {Path(command).name for command in commands} >= {"ruff", "mypy", "pytest"}
    assert all(Path(sys.executable).with_name(Path(command).name).exists() for command in commands)


# -- run


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with the scripts, and tools that only write down how they were called."""

    folder: Path

    def tool(self, name: str, script: str) -> None:
        file = self.folder / "bin" / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.folder}/calls"\n{script}\n')
        file.chmod(0o755)

    def run(self, step: str, **substitutions: str) -> subprocess.CompletedProcess[str]:
        """As Cloud Build would, but for the image."""
        values = {"PROJECT_ID": "p", "_REGION": "europe-west4", "COMMIT_SHA": "abcdef0123", "SHORT_SHA": "abcdef0"}
        values |= {"BUILD_ID": "12345678-9abc"} | substitutions
        arguments = [re.sub(r"\$(\w+)", lambda found: values[found[1]], one) for one in STEPS[step]["args"]]
        entry = STEPS[step].get("entrypoint", "terraform")
        entry = sys.executable if "python" in entry else entry
        environment = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run([entry, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True)

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("bin", "terraform", "build"):
        (tmp_path / name).mkdir()
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    return Workspace(tmp_path)


DIGEST = "sha256:" + "0a" * 32
METADATA = json.dumps(
    {"containerimage.config.digest": "sha256:" + "ff" * 32, "containerimage.digest": DIGEST}, indent=2
)


def test_the_image_is_pushed_with_its_cache_and_known_by_digest(workspace: Workspace) -> None:
    workspace.tool("docker", f"test $2 = create || cat > build/image.json <<'EOF'\n{METADATA}\nEOF")
    assert workspace.run("image").returncode == 0
    repository = "europe-west4-docker.pkg.dev/p/containers/segment"
    assert (workspace.folder / "build/image").read_text() == f"{repository}@{DIGEST}"
    create, build = workspace.calls()
    assert create.startswith("docker buildx create")
    for part in ("--push", f"--tag {repository}:abcdef0123", f"--cache-from type=registry,ref={repository}:cache",
                 "--build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128"):  # fmt: skip
        assert part in build


@pytest.mark.parametrize("script", ["exit 1", "test $2 = create || echo '{}' > build/image.json"])
def test_an_image_that_was_not_pushed_stops_the_build(workspace: Workspace, script: str) -> None:
    workspace.tool("docker", script)
    assert workspace.run("image").returncode != 0
    assert not (workspace.folder / "build/image").exists()


def test_the_plan_gets_project_region_and_image_and_apply_does_the_plan(workspace: Workspace) -> None:
    workspace.tool("terraform", "")
    (workspace.folder / "build/image").write_text("repo@sha256:1")
    assert workspace.run("plan").returncode == 0
    assert workspace.run("apply").returncode == 0
    init, plan, apply = workspace.calls()
    assert init == "terraform init -input=false -lockfile=readonly -backend-config=bucket=p-terraform"
    variables = "-var=project=p -var=region=europe-west4 -var=image=repo@sha256:1"
    assert plan == f"terraform plan -input=false -out=build.tfplan {variables}"
    assert apply == "terraform -chdir=terraform apply -input=false build.tfplan"


def test_without_its_state_nothing_is_planned(workspace: Workspace) -> None:
    workspace.tool("terraform", "test $1 != init")
    (workspace.folder / "build/image").write_text("repo@sha256:1")
    assert workspace.run("plan").returncode != 0
    assert len(workspace.calls()) == 1


SERVICE = {
    "status": {
        "url": "https://segment-x.a.run.app",
        "traffic": [
            {"revisionName": "segment-1", "percent": 100},
            {"revisionName": "segment-2", "tag": "candidate", "url": "https://candidate---segment-x.a.run.app"},
        ],
    }
}


def gcloud(workspace: Workspace, serving: str, fails: str = "nothing") -> None:
    """`serving`: image of the revision that has all traffic. `fails`: the subcommand that does."""
    images = {"segment-1": serving, "segment-2": "repo/segment@sha256:2"}
    revisions = [
        {"metadata": {"name": name}, "spec": {"containers": [{"image": image}]}} for name, image in images.items()
    ]
    for name, answer in (("service", SERVICE), ("revisions", revisions)):
        (workspace.folder / f"{name}.json").write_text(json.dumps(answer))
    answers = 'case "$*" in *"services describe"*) cat service.json;; *"revisions list"*) cat revisions.json;; esac'
    workspace.tool("gcloud", f'case "$*" in *"{fails}"*) exit 1;; esac\n{answers}')


def test_a_candidate_gets_no_traffic_and_says_where_it_answers(workspace: Workspace) -> None:
    gcloud(workspace, "repo/segment@sha256:1")
    (workspace.folder / "build/image").write_text("repo/segment@sha256:2")
    assert workspace.run("candidate").returncode == 0
    update, describe = workspace.calls()
    assert update == (
        "gcloud --quiet run services update segment --image=repo/segment@sha256:2 --no-traffic --tag=candidate"
        " --revision-suffix=abcdef0-12345678 --region=europe-west4"
    )
    assert describe == "gcloud --quiet run services describe segment --region=europe-west4 --format=json"
    assert json.loads((workspace.folder / "build/candidate.json").read_text()) == {
        "url": "https://candidate---segment-x.a.run.app",
        "audience": "https://segment-x.a.run.app",
    }


@pytest.mark.parametrize("fails", ["services update segment", "services describe"])
def test_a_candidate_that_does_not_start_leaves_production_as_it_was(workspace: Workspace, fails: str) -> None:
    gcloud(workspace, "repo/segment@sha256:1", fails)
    (workspace.folder / "build/image").write_text("repo/segment@sha256:2")
    done = workspace.run("candidate")
    assert (done.returncode, done.stderr) == (1, "start failed: production serves what it served before\n")
    assert not any("update-traffic" in call for call in workspace.calls())


def test_the_first_candidate_serves_at_once(workspace: Workspace) -> None:
    gcloud(workspace, candidate.PLACEHOLDER)
    assert workspace.run("hand-over").returncode == 0
    assert workspace.calls()[-1] == (
        "gcloud --quiet run services update-traffic segment --to-tags=candidate=100 --region=europe-west4"
    )


def test_every_other_candidate_waits_for_the_rollout(workspace: Workspace) -> None:
    gcloud(workspace, "repo/segment@sha256:1")
    done = workspace.run("hand-over")
    assert (done.returncode, done.stdout.startswith("The revision tagged `candidate` has no traffic yet")) == (0, True)
    assert not any("update" in call for call in workspace.calls())
