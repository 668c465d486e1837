"""Single modules of Google's libraries, imported without the rest of their packages.

A library opens with all it has: other services, asynchronous and REST twins, a hand-written client. A function that
needs one service's messages and calls would spend a third of its cold start on what it never uses. So the packages on
the way to a module are entered without being opened: their `__init__` runs only when somebody asks for a name that it
makes, and then they are what they always are. `benchmarks/functions.py` measures it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from shared.imports import quick_imports

# What the libraries import for callers of another kind: those with certificates or key files, with an event loop, with
# traces to send, with text in a charset that nobody names.
_LEFT_UNOPENED = (
    "asyncio",
    "charset_normalizer",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
    "google.api_core._observability",
    "google.api_core.gapic_v1",
    "google.auth.crypt",
    "google.auth.iam",
    "google.auth.jwt",
    "grpc.aio",
    "grpc_status._async",
    "opentelemetry.trace",
)


def load(name: str) -> Any:
    """The module `name`, whole even if another thread is just importing it. Costs next to nothing once it is there.

    Whoever imports a library's module first does it by this: who did it otherwise, and opened a package on the way,
    could wait for a thread in here that waits for what is being imported."""
    if name not in sys.modules:
        with quick_imports():
            leave_unopened()
            _enter_all(name.split(".")[:-1])
            import_module(name)
    return import_module(name)


def leave_unopened() -> None:
    """Before whatever imports those modules. Opens and imports nothing."""
    with quick_imports():
        for name in _LEFT_UNOPENED:
            with suppress(ModuleNotFoundError):  # not every function has all libraries installed
                _enter_all(name.split("."))


def _enter_all(parts: Sequence[str]) -> None:
    for depth in range(1, len(parts) + 1):
        _enter(".".join(parts[:depth]))


def _enter(name: str) -> None:
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # missing, or a namespace: nothing to open
        import_module(name)
        return
    module: ModuleType = module_from_spec(spec)
    module.__class__ = _Unopened
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


class _Unopened(ModuleType):
    """`__getattr__` is asked only for what is not there yet."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__" and self._has("version"):
            return import_module(f"{self.__name__}.version").__version__
        if not name.startswith("__") and self._has(name):
            return import_module(f"{self.__name__}.{name}")
        if not name.startswith("__") or name in ("__all__", "__version__"):
            with quick_imports():  # other threads wait, and find it open
                _open(self)
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None

    def _has(self, module: str) -> bool:
        return "__path__" in vars(self) and find_spec(f"{self.__name__}.{module}") is not None


_opening: set[str] = set()


def _open(package: ModuleType) -> None:
    if type(package) is ModuleType or package.__name__ in _opening:
        return
    _opening.add(package.__name__)
    assert package.__spec__ is not None
    assert package.__spec__.loader is not None
    try:
        package.__spec__.loader.exec_module(package)
    finally:
        _opening.remove(package.__name__)
    package.__class__ = ModuleType
