"""Our network behind BentoML: without batches each worker process does all; with them, as its pages show, one service
decodes and encodes in threads and a batchable one holds the network.

Imported by name: the peer's venv has BentoML, this project's has not.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from benchmarks.peer_app import READY, Segmenter, options

bentoml = importlib.import_module("bentoml")
_TYPE = importlib.import_module("bentoml.validators").ContentType
_DAMAGED = importlib.import_module("bentoml.exceptions").InvalidArgument
TRAFFIC = {"timeout": 120}


class Whole:
    """A photo from the first byte to the last."""

    def __init__(self) -> None:
        self.segmenter = Segmenter(options())
        print(READY, flush=True)

    def predict(self, image: Any, /) -> Any:
        photo = _decoded(self.segmenter, image)
        return self.segmenter.after(photo, self.segmenter.forward([photo])[0])


class Network:
    def __init__(self) -> None:
        self.segmenter = Segmenter(options())
        print(READY, flush=True)

    def classes(self, pixels: Any) -> Any:
        return np.stack(self.segmenter.forward([Namespace(pixels=one) for one in pixels]))


class Around:
    """What is around the network. Under load BentoML's own client now and then finds its connections to the other
    service closed: those photos are answered with 500, and counted as errors.
    """

    network: Any

    def __init__(self) -> None:
        self.segmenter = Segmenter(options())

    def predict(self, image: Any, /) -> Any:
        photo = _decoded(self.segmenter, image)
        return self.segmenter.after(photo, self.network.classes(photo.pixels[None])[0])


def _decoded(segmenter: Segmenter, image: Path) -> Any:
    try:
        return segmenter.before(image.read_bytes())
    except Exception as error:
        raise _DAMAGED("not a photo") from error


# The annotations by which BentoML takes a body and gives an answer as they are.
for one in (Whole, Around):
    one.predict.__annotations__.update(
        image=Annotated[Path, _TYPE("application/octet-stream")], **{"return": Annotated[bytes, _TYPE("image/png")]}
    )
Network.classes.__annotations__.update(pixels=np.ndarray, **{"return": np.ndarray})


def service(given: Namespace) -> Any:
    if given.batch == 1:
        Whole.predict = bentoml.api(route="/predict")(Whole.predict)  # type: ignore[method-assign]
        threads = {"threads": given.at_once} if given.at_once else {}
        return bentoml.service(workers=given.workers, traffic=TRAFFIC, **threads)(Whole)
    batched = bentoml.api(batchable=True, max_batch_size=given.batch, max_latency_ms=1000)
    Network.classes = batched(Network.classes)  # type: ignore[method-assign]
    Around.predict = bentoml.api(route="/predict")(Around.predict)  # type: ignore[method-assign]
    Around.network = bentoml.depends(bentoml.service(workers=given.workers, traffic=TRAFFIC)(Network))
    return bentoml.service(workers=1, threads=given.batch, traffic=TRAFFIC)(Around)


def main() -> None:
    given = options()
    os.environ.update(BENTOML_DO_NOT_TRACK="True", BENTOML_HOME=tempfile.mkdtemp())
    serve = [sys.executable, "-m", "bentoml", "serve", "benchmarks.peer_bentoml:Service"]
    os.execv(sys.executable, [*serve, "--host", "127.0.0.1", "--port", str(given.port)])


if __name__ == "__main__":
    main()
else:
    Service = service(options())
