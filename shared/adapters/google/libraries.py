"""Single modules of Google's libraries, imported without the rest of their packages.

A library opens with all it has: other services, asynchronous and REST twins, a hand-written client. A function that
needs one service's messages and calls would spend a third of its cold start on what it never uses. So the packages on
the way to a module are entered without being opened: their `__init__` runs only when somebody asks for a name that it
makes, and then they are what they always are. `benchmarks/functions.py` measures it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from shared.adapters.google.lazily import quick_imports


def load(name: str) -> Any:
    """The module `name`, whole even if another thread is just importing it. Costs next to nothing once it is there."""
    if name not in sys.modules:
        with quick_imports():
            parts = name.split(".")
            for depth in range(1, len(parts)):
                _enter(".".join(parts[:depth]))
            import_module(name)
    return import_module(name)


def _enter(package: str) -> None:
    if package in sys.modules:
        return
    spec = find_spec(package)
    if spec is None or spec.origin is None:  # missing, or a namespace: nothing to open
        import_module(package)
        return
    module: ModuleType = module_from_spec(spec)
    module.__class__ = _Unopened
    sys.modules[package] = module
    parent, _, child = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


class _Unopened(ModuleType):
    """`__getattr__` is asked only for what is not there yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if find_spec(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)
