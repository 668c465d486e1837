"""`python -m deploy.bundle [--out DIR] [STAGE …]`: one zip for each function of `pipeline.yaml`, and their index.

A bundle holds `main.py`, `requirements.txt` (every package, pinned) and of `shared/` what `main.py` can reach, but for
the adapters of a single machine. It is named by its content: equal sources give equal bytes, whatever the clock, the
umask or the folder, so a function is deployed again exactly when its code or its packages have changed.

`bundles.json` (stage → file) is what Terraform reads. Bytecode is not in a bundle: the platform compiles what it
unpacks, and would replace ours.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from modulefinder import ModuleFinder
from pathlib import Path

from deploy.requirements import closure, pins
from shared import pipeline
from shared.errors import Misconfigured

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build/functions"
INDEX = "bundles.json"
NOT_DEPLOYED = "shared.adapters.local"
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier one
_FILE = 0o100644 << 16  # -rw-r--r--, where a zip keeps it
_UNIX = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.bundle", description="Bundle the functions for deployment.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="functions of pipeline.yaml; default: all")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the bundles and their index")
    options = parser.parse_args(arguments)
    try:
        for stage, file in write(options.out, options.stages or functions()).items():
            print(f"{stage:10} {file} {(options.out / file).stat().st_size:,} bytes")
    except Misconfigured as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def functions() -> list[str]:
    return [stage.name for stage in pipeline.load().stages.values() if stage.runtime == "function"]


def write(out: Path, stages: Sequence[str]) -> dict[str, str]:
    """Write these bundles, forget their older ones, and bring the index up to date. Returns stage → file."""
    unknown = sorted(set(stages) - set(functions()))
    if unknown:
        raise Misconfigured(f"pipeline.yaml has no function {', '.join(unknown)}")
    bundles = {stage: pack(contents(stage)) for stage in stages}
    files = {stage: file_name(stage, data) for stage, data in bundles.items()}
    out.mkdir(parents=True, exist_ok=True)
    for stage, data in bundles.items():
        for old in out.glob(f"{stage}-*.zip"):
            old.unlink()
        (out / files[stage]).write_bytes(data)
    index = _index(out) | files
    (out / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", "utf-8")
    return files


def file_name(stage: str, data: bytes) -> str:
    return f"{stage}-{hashlib.sha256(data).hexdigest()[:16]}.zip"


def contents(stage: str) -> dict[str, bytes]:
    """Name in the bundle → bytes."""
    folder = ROOT / "functions" / stage
    asked = (folder / "requirements.txt").read_text("utf-8").splitlines()
    lines = closure(asked, pins((ROOT / "constraints.txt").read_text("utf-8")))
    named = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in reached(folder / "main.py")}
    return {
        **named,
        "main.py": (folder / "main.py").read_bytes(),
        "requirements.txt": ("\n".join(lines) + "\n").encode(),
    }


def reached(script: Path) -> list[Path]:
    """The modules of ours that `script` imports, at once or later, and the packages around them."""
    finder = ModuleFinder(path=[str(ROOT)], excludes=[NOT_DEPLOYED])
    finder.run_script(str(script))
    files = {name: vars(module)["__file__"] for name, module in finder.modules.items()}
    return sorted(Path(file) for name, file in files.items() if file and name != "__main__")


def pack(files: Mapping[str, bytes]) -> bytes:
    """Stored, not compressed: what zlib makes of the same bytes differs from one build of it to the next."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as bundle:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _FIRST_TIME)
            entry.create_system, entry.external_attr = _UNIX, _FILE
            bundle.writestr(entry, files[name])
    return data.getvalue()


def _index(out: Path) -> dict[str, str]:
    """What was bundled before, as far as it is still there and still a function."""
    file = out / INDEX
    known: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return {stage: name for stage, name in known.items() if stage in functions() and (out / name).exists()}


if __name__ == "__main__":
    sys.exit(main())
