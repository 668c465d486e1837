"""Our network behind NVIDIA Triton by way of PyTriton: decode, model and encode in the batch function.

Triton is a process of its own; the batch functions are threads of this one, one for each worker.
Imported by name: the peer's venv has PyTriton, this project's has not.
"""

from __future__ import annotations

import importlib
import os
import sysconfig
from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.forms import INPUT, OUTPUT
from benchmarks.peer_app import MODEL, READY, Segmenter, options
from benchmarks.processes import free_port


def function(segmenter: Segmenter) -> Any:
    """`object`: Triton's strings of any length."""

    def masks(**tensors: Any) -> dict[str, Any]:
        found = segmenter.whole([bytes(photo) for photo in tensors[INPUT][:, 0]])
        return {OUTPUT: np.array(found, dtype=object)[:, None]}

    return importlib.import_module("pytriton.decorators").batch(masks)


def bind(triton: Any, given: Namespace) -> None:
    config = importlib.import_module("pytriton.model_config")
    segmenter = Segmenter(given)
    batcher = config.DynamicBatcher(max_queue_delay_microseconds=int(given.wait_ms * 1000))
    triton.bind(
        model_name=MODEL,
        infer_func=[function(segmenter) for _ in range(given.workers)],
        inputs=[config.Tensor(name=INPUT, dtype=bytes, shape=(1,))],
        outputs=[config.Tensor(name=OUTPUT, dtype=bytes, shape=(1,))],
        config=config.ModelConfig(max_batch_size=given.batch, batcher=batcher),
    )


def main() -> None:
    given = options()
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")  # the library of this very Python
    module = importlib.import_module("pytriton.triton")
    ports = {"http_port": given.port, "grpc_port": free_port(), "metrics_port": free_port()}
    with module.Triton(config=module.TritonConfig(http_address="127.0.0.1", **ports)) as triton:
        bind(triton, given)
        triton.run()  # returns when the model can be asked
        print(*[READY] * given.workers, sep="\n", flush=True)
        triton.serve()


if __name__ == "__main__":
    main()
