"""Our network behind MLServer: its main process forms batches, its worker processes decode, predict and encode.

Imported by name: the peer's venv has MLServer, this project's has not.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.forms import OUTPUT
from benchmarks.peer_app import MODEL, READY, Segmenter, options
from benchmarks.processes import free_port

mlserver, types = importlib.import_module("mlserver"), importlib.import_module("mlserver.types")


class Runtime(mlserver.MLModel):  # type: ignore[misc, name-defined]
    async def load(self) -> bool:
        self.segmenter = Segmenter(options())
        print(READY, flush=True)
        return True

    async def predict(self, payload: Any) -> Any:
        photos = [base64.b64decode(data) for data in payload.inputs[0].data]
        masks = [base64.b64encode(mask).decode() for mask in self.segmenter.whole(photos)]
        output = types.ResponseOutput(
            name=OUTPUT, shape=[len(masks), 1], datatype="BYTES", data=masks,
            parameters=types.Parameters(content_type="base64"),
        )  # fmt: skip
        return types.InferenceResponse(model_name=self.name, outputs=[output])


def settings(folder: Path, given: Namespace) -> None:
    ports = {"http_port": given.port, "grpc_port": free_port(), "metrics_port": free_port()}
    where = {"host": "127.0.0.1", "metrics_dir": str(folder / "metrics")}
    server = {"parallel_workers": given.workers, "debug": False} | ports | where
    batches = {"max_batch_size": given.batch, "max_batch_time": given.wait_ms / 1000}
    model = {"name": MODEL, "implementation": "benchmarks.peer_mlserver.Runtime"} | batches
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    settings(folder, options())
    os.execv(sys.executable, [sys.executable, "-c", "from mlserver.cli import main; main()", "start", str(folder)])


if __name__ == "__main__":
    main()
