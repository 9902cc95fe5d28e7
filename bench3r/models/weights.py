"""Loading weights safely: safetensors, or torch files with ``weights_only=True``.

Nothing is ever unpickled.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from bench3r.api.errors import Bench3RError
from bench3r.files import write_atomic


@runtime_checkable
class HasSeveralNames(Protocol):
    """A model whose checkpoints may hold a tensor under one of several names."""

    def complete_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """``state``, tensors of any shapes [...], under all names that the model has."""


SHIPPED = Path(__file__).resolve().parent.parent / "weights"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of any shapes [...] of a .safetensors file or of a torch checkpoint.

    The checkpoint holds only tensors, flat or under "model". Raises Bench3RError when the file is
    missing, damaged, or would need unpickling of other objects.
    """
    if not path.is_file():
        raise Bench3RError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # official files of some networks hold their training arguments
        with torch.serialization.safe_globals([Namespace]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        cause = _first_line(error)
        raise Bench3RError(f"{path}: damaged or not a weights file ({cause})") from error
    # pickle.UnpicklingError and its kind: the file holds more than tensors
    except Exception as error:
        raise Bench3RError(
            f"{path}: refused, it holds objects other than tensors ({_first_line(error)}). "
            "Convert it to .safetensors where you trust it."
        ) from error
    state = state.get("model", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise Bench3RError(f"{path}: expected a state dict of tensors")
    return state


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def load_strict(model: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Load ``state``, tensors [...] by name, into ``model``; every name and shape must match.

    Raises Bench3RError that lists missing, extra and mis-shaped names. The model is untouched then.
    """
    own = model.state_dict()
    state = model.complete_state(state) if isinstance(model, HasSeveralNames) else state
    shapes = []
    for name in sorted(own.keys() & state.keys()):
        found = tuple(state[name].shape)
        expected = tuple(own[name].shape)
        if found != expected:
            shapes.append(f"{name} {found}, expected {expected}")
    differences = {
        "missing": sorted(own.keys() - state.keys()),
        "extra": sorted(state.keys() - own.keys()),
        "mis-shaped": shapes,
    }
    problems = []
    for kind, names in differences.items():
        if names:
            problems.append(f"{len(names)} {kind}: {_some(names)}")
    if problems:
        listed = "; ".join(problems)
        raise Bench3RError(f"{where}: the checkpoint does not fit the model; {listed}")
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()})


def load_part(model: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Load tensors [...] that a method learned: some or all of the model's.

    Raises Bench3RError as :func:`load_strict`.
    """
    load_strict(model, {**model.state_dict(), **state}, where)


def _some(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def save_safetensors(
    path: Path, state: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors of any shapes [...] atomically."""
    data = save({k: v.detach().cpu().contiguous() for k, v in state.items()}, metadata)
    write_atomic(path, lambda f: f.write(data))


def resolve_base(base: str, backbone: str, scale: str, trained: Path | None) -> Path:
    """The weights file that ``base`` stands for.

    That is: shipped | train | a file | hub:REPOSITORY@REVISION. Raises Bench3RError that says how
    to get the weights.
    """
    if base == "train":
        if trained is None:
            raise Bench3RError(
                "base: train, but no trained checkpoint was handed over (run the train stage first)"
            )
        return trained
    if base == "shipped":
        path = SHIPPED / f"{backbone}-{scale}.safetensors"
        if not path.exists():
            have = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.safetensors"))) or "none"
            raise Bench3RError(
                f"no weights for {backbone} at scale {scale} ship with the project "
                f"(shipped: {have}); set `base` to train, to a file, or to hub:REPOSITORY@REVISION"
            )
        return path
    return download(base[4:]) if base.startswith("hub:") else Path(base)


def download(reference: str) -> Path:
    """``REPOSITORY@REVISION`` from the Hugging Face hub: model.safetensors, else model.pt.

    The revision must be a full commit hash, so that the same run always gets the same weights.
    Raises Bench3RError when it is not, and when nothing can be downloaded.
    """
    repository, _, revision = reference.partition("@")
    if len(revision) != 40 or set(revision) - set("0123456789abcdef"):
        raise Bench3RError(
            f"hub:{reference}: pin a revision, hub:REPOSITORY@COMMIT (40 hexadecimal digits)"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        try:
            return Path(hf_hub_download(repository, "model.safetensors", revision=revision))
        except EntryNotFoundError:
            return Path(hf_hub_download(repository, "model.pt", revision=revision))
    except Exception as error:  # the hub raises many kinds: network, access, unknown repository
        cause = _first_line(error)
        raise Bench3RError(f"hub:{reference}: cannot be downloaded ({cause})") from error
