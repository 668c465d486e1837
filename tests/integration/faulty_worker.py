"""`python -m tests.integration.faulty_worker`: a worker as it is, on a device that fails as files tell it to."""

from pathlib import Path

import torch
from torch import Tensor, nn

from inference_container import device
from inference_container.worker import main
from tests.integration.faulty_container import FAULTS, NOT_FINITE


class FaultyNetwork(nn.Module):
    def __init__(self, owner: device.Device, network: nn.Module) -> None:
        super().__init__()
        self.owner = [owner]  # a list: no part of this module
        self.network = network

    def forward(self, photos: Tensor) -> Tensor:
        with (FAULTS / "tried").open("a") as tried:
            tried.write(f"{len(photos)}\n")
        most = FAULTS / "most"
        if most.exists() and len(photos) > int(most.read_text()):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if (FAULTS / "sticky").exists():
            (FAULTS / "sticky").unlink()
            self.owner[0].kind = "cuda"  # where such an error is final
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        answer: Tensor = self.network(photos)
        marked = (photos == torch.tensor(NOT_FINITE).view(1, 3, 1, 1)).all(3).all(2).all(1)
        answer[marked] = torch.nan
        return answer


class FaultyDevice(device.Device):
    def __init__(self, directory: Path, name: str) -> None:
        super().__init__(directory, name)
        self.warm_up()
        FAULTS.mkdir(exist_ok=True)
        self._module = FaultyNetwork(self, self._module)


if __name__ == "__main__":
    device.Device = FaultyDevice  # type: ignore[misc]
    main()
