"""Our network behind LitServe: decode, batch, predict, unbatch and encode run in its worker processes.

Imported by name: the peer's venv has LitServe, this project's has not.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any

from benchmarks.peer_app import READY, Segmenter, options

litserve, fastapi = importlib.import_module("litserve"), importlib.import_module("fastapi")


class Api(litserve.LitAPI):  # type: ignore[misc, name-defined]
    """At module level: LitServe pickles it for its workers."""

    def setup(self, device: str) -> None:
        self.batches = options().batch > 1
        self.segmenter = Segmenter(options())
        print(READY, flush=True)

    def decode_request(self, request: Any) -> Any:
        return self.segmenter.before(request)

    def batch(self, inputs: Any) -> Any:
        return inputs

    def predict(self, inputs: Any) -> Any:
        photos = inputs if self.batches else [inputs]
        found = list(zip(photos, self.segmenter.forward(photos), strict=True))
        return found if self.batches else found[0]

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        return fastapi.Response(self.segmenter.after(*output), media_type="image/png")


# The annotation by which LitServe hands a body over as it came.
Api.decode_request.__annotations__["request"] = Annotated[bytes, fastapi.Body()]


def main() -> None:
    given = options()
    api = Api(max_batch_size=given.batch, batch_timeout=given.wait_ms / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=given.workers, timeout=120)
    server.run(port=given.port, host="127.0.0.1", num_api_servers=1, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
