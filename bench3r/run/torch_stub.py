"""Planning without torch: stand-ins in its place can be named and subclassed, but not used.

A plan needs of a method its name, options and what it supports, not its layers; importing torch for
that costs seconds and, on a head node, memory. Whatever asks more of a stand-in than a class
definition does raises :class:`TorchNeeded`, and the plan is made again with the real one
(``bench3r plan`` does that by itself).
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

REPLACED = ("torch", "fvcore", "safetensors.torch")


class TorchNeeded(RuntimeError):
    """Something was computed with a stand-in."""


def _refuse(self: object, *arguments: object, **named: object) -> NoReturn:
    raise TorchNeeded("planning computes nothing: torch is needed here")


class StandIn(ABCMeta):
    """Metaclass of what stands for a class, function or constant of torch."""

    def __getattr__(cls, name: str) -> Any:
        """A stand-in for an attribute. Raises AttributeError for special names."""
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(f"{cls.__name__}.{name}")

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        """A decorator hands back what it decorates; what else is called gives a stand-in.

        Raises TorchNeeded for a subclass that a plug-in defined.
        """
        if not cls.__dict__.get("_stands_in"):
            _refuse(cls)
        if len(arguments) == 1 and not named:
            decorated = arguments[0]
            if isinstance(decorated, type) or hasattr(decorated, "__code__"):
                return decorated
        return stand_in(f"{cls.__name__}()")


# What a computation does with a value.
USES = """
    bool iter len index int float contains enter exit lt le gt ge
    add radd sub rsub mul rmul truediv matmul neg invert
"""
for use in USES.split():
    setattr(StandIn, f"__{use}__", _refuse)


def stand_in(name: str) -> Any:
    """A class that stands for ``name``."""
    body = {"_stands_in": True, "__class_getitem__": classmethod(lambda cls, _: cls)}
    return StandIn(name, (), body)


class StandInModule(ModuleType):
    """A module of which everything is a stand-in."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """A stand-in for a name of the module. Raises AttributeError for special names."""
        if name.startswith("__"):
            raise AttributeError(name)
        found = stand_in(f"{self.__name__}.{name}")
        setattr(self, name, found)  # the same one every time it is asked for
        return found


class Finder(MetaPathFinder, Loader):
    """Finds stand-ins for the replaced packages and all that is below them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(name == r or name.startswith(f"{r}.") for r in REPLACED):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def leave_torch_out() -> bool:
    """Put the stand-ins in place for the rest of this process.

    False when torch is loaded already and nothing changes.
    """
    if "torch" in sys.modules:
        return False
    sys.meta_path.insert(0, Finder())
    return True
