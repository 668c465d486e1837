"""One way to compute the starter network's forward, alone in a process: built, started, timed. See `variants`.

    python -m benchmarks.variant NAME FOLDER         # one forward, then answers lines of its input with a line each
    python -m benchmarks.variant package FOLDER build

FOLDER holds `photos`, uint8 (n, h, w, 3) pixels of one shape, and gets what is built and found.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from inference_container import bundle
from inference_container.architectures.folding import fold_batch_norms
from inference_container.manifest import STARTER, read_manifest
from inference_container.readout import class_ids

Forward = Callable[[Tensor], Tensor]  # uint8 (n, 3, h, w), channels last -> logits
PACKAGE = "package.pt2"
PHOTOS = "photos"
LARGEST = 64  # photos in a batch that the package is built for


def trained(_: Path) -> Forward:
    return bundle.load(STARTER, fold=False).module


def folded(_: Path) -> Forward:
    module = bundle.load(STARTER, fold=False).module
    fold_batch_norms(module)
    return module.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def inductor(folder: Path) -> Forward:
    """Compiled when it is first called with a shape, or taken from the cache as far as that goes."""
    import torch._inductor.config as settings

    settings.freezing = True
    return torch.compile(folded(folder), dynamic=False)


def package(folder: Path) -> Forward:
    """As PyTorch documents it."""
    import torch._inductor

    loaded: Forward = torch._inductor.aoti_load_package(str(folder / PACKAGE))
    return loaded


def package_bare(folder: Path) -> Forward:
    """By the loader in C++ that `package` ends at, without the Python around it: not a public interface."""
    loader = torch._C._aoti.AOTIModelPackageLoader(str(folder / PACKAGE), "model", False, 1, -1)
    return lambda photos: loader.boxed_run([photos])[0]


def eight_bits(_: Path) -> Forward:
    return bundle.load(STARTER).module


VARIANTS: dict[str, Callable[[Path], Forward]] = {
    "trained": trained,
    "folded": folded,
    "inductor": inductor,
    "package": package,
    "package_bare": package_bare,
    "eight_bits": eight_bits,
}


def build(folder: Path) -> None:
    """The package: one for batches of every size up to `LARGEST`, of photos of one shape."""
    import torch._inductor

    few, network = _photos(folder)(2), folded(folder)
    assert isinstance(network, torch.nn.Module)
    sizes = {0: torch.export.Dim("photos", min=1, max=LARGEST)}
    with torch.no_grad():
        exported = torch.export.export(network, (few,), dynamic_shapes=(sizes,))
    torch._inductor.aoti_compile_and_package(
        exported, package_path=str(folder / PACKAGE), inductor_configs={"freezing": True}
    )


@torch.inference_mode()
def answer(name: str, folder: Path) -> None:
    """Lines: `speed BATCH SECONDS`, `maps`."""
    forward, photos = VARIANTS[name](folder), _photos(folder)
    forward(photos(1))
    _say({"cpu_s": time.process_time()})
    for line in sys.stdin:
        work, *numbers = line.split()
        if work == "speed":
            _say({"cpu_ms": speed(forward, photos(int(numbers[0])), float(numbers[1]))})
        else:
            keep(folder / name, maps(forward, folder))
            _say({})


def speed(forward: Forward, photos: Tensor, seconds: float) -> float:
    """CPU milliseconds per photo; the first forward is not counted: it may compile."""
    forward(photos)
    until, began, count = time.monotonic() + seconds, time.process_time(), 0
    while not count or time.monotonic() < until:
        forward(photos)
        count += len(photos)
    return (time.process_time() - began) / count * 1000


def maps(forward: Forward, folder: Path) -> Any:
    """Class ids of every photo, one by one: uint8 (n, h, w)."""
    stride, photos = read_manifest(STARTER).output_stride, kept(folder / PHOTOS)
    count = photos.get_shape()[0]
    return np.concatenate([class_ids(forward(_tensor(photos[at : at + 1])), stride) for at in range(count)])


def _photos(folder: Path) -> Callable[[int], Tensor]:
    """The first of them; a start should not pay for reading them all."""
    photos = kept(folder / PHOTOS)
    return lambda count: _tensor(photos[:count])


def _tensor(photos: Any) -> Tensor:
    return torch.from_numpy(np.array(photos)).permute(0, 3, 1, 2)


def keep(path: Path, array: Any) -> None:
    save_file({"array": np.ascontiguousarray(array)}, path)


def kept(path: Path) -> Any:
    """Parts of it by slicing; what is not asked for is not read."""
    return safe_open(path, "np").get_slice("array")  # type: ignore[no-untyped-call]


def _say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[3:] == ["build"]:
        build(Path(sys.argv[2]))
    else:
        answer(sys.argv[1], Path(sys.argv[2]))
