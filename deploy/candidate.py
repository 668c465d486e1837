"""`python3 -m deploy.candidate start REGION COMMIT BUILD` and `… hand-over REGION`: a new revision beside production.

`start` makes it without traffic, under the tag `candidate`, and says in `build/candidate.json` where it answers.
`hand-over` leaves it to the rollout, which gives traffic by evidence; only where the placeholder still serves, because
nothing was ever deployed, it serves at once. The standard library and `gcloud`, which waits for a revision and reports
why it does not start, are all that this needs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SERVICE, TAG = "segment", "candidate"
PLACEHOLDER = "us-docker.pkg.dev/cloudrun/container/hello"  # `image` in terraform/variables.tf
IMAGE, FOUND = Path("build/image"), Path("build/candidate.json")
_GCLOUD = ("gcloud", "--quiet", "run")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m deploy.candidate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    begin = commands.add_parser("start", help="a revision of the new image, without traffic")
    begin.add_argument("region")
    begin.add_argument("commit")
    begin.add_argument("build")
    commands.add_parser("hand-over", help="leave it to the rollout").add_argument("region")
    options = parser.parse_args(arguments)
    try:
        if options.command == "start":
            start(options.region, f"{options.commit}-{options.build[:8]}")
        else:
            hand_over(options.region)
    except (subprocess.CalledProcessError, StopIteration, OSError):
        print(f"{options.command} failed: production serves what it served before", file=sys.stderr)
        return 1
    return 0


def start(region: str, suffix: str) -> None:
    """`suffix` makes the revision's name: of one commit there may be several builds."""
    image = IMAGE.read_text().strip()
    _run("services", "update", SERVICE, f"--image={image}", "--no-traffic", f"--tag={TAG}",
         f"--revision-suffix={suffix}", f"--region={region}")  # fmt: skip
    status = _service(region)["status"]
    url = next(target["url"] for target in status["traffic"] if target.get("tag") == TAG)
    FOUND.write_text(json.dumps({"url": url, "audience": status["url"]}) + "\n")


def hand_over(region: str) -> None:
    if not serves_placeholder(_service(region)["status"]["traffic"], _images(region)):
        print(f"The revision tagged `{TAG}` has no traffic yet: the rollout decides by evidence.")
        return
    _run("services", "update-traffic", SERVICE, f"--to-tags={TAG}=100", f"--region={region}")
    print("Nothing was served before: the candidate serves.")


def serves_placeholder(traffic: Sequence[dict[str, Any]], images: dict[str, str]) -> bool:
    """Whether every revision that has traffic is Google's greeting."""
    serving = [images.get(target["revisionName"], "") for target in traffic if target.get("percent")]
    return all(image.startswith(PLACEHOLDER) for image in serving)


def _images(region: str) -> dict[str, str]:
    """Revision → image."""
    revisions = _json("revisions", "list", f"--service={SERVICE}", f"--region={region}")
    return {one["metadata"]["name"]: one["spec"]["containers"][0]["image"] for one in revisions}


def _service(region: str) -> Any:
    return _json("services", "describe", SERVICE, f"--region={region}")


def _json(*arguments: str) -> Any:
    done = subprocess.run([*_GCLOUD, *arguments, "--format=json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _run(*arguments: str) -> None:
    subprocess.run([*_GCLOUD, *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
