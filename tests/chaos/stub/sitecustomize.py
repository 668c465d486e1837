"""On PYTHONPATH of a stack (`tests.chaos.stubs`): its instances run `stub_device.py` in place of torch.

Everything else of the container stays what it is. An instance then starts in a fifth of the time, and its device can
be told to misbehave.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

STUBS = ("inference_container.device", "inference_container.bundle")


class Finder:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in STUBS:
            return None
        return importlib.util.spec_from_file_location(name, Path(__file__).with_name("stub_device.py"))


if any(word.partition(".")[0] == "inference_container" for word in sys.orig_argv):
    sys.meta_path.insert(0, Finder)
