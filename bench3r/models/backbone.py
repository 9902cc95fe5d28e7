"""What every backbone is: a trunk with the two hooks between a patch embed and heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.layers import TokenLayout
from bench3r.models.trunk import Schedule, Trunk, TrunkInput, TrunkOutput

# of ImageNet
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module, ABC):
    """Images to cameras, depth and points.

    The hooks: ``model.schedule`` (a :class:`~bench3r.models.trunk.Schedule`) and the ``core`` of
    every attention (:func:`bench3r.models.layers.attention_modules`). ``trunk_dtype`` runs the
    trunk under autocast, heads in float32.
    """

    name: ClassVar[str]
    config: Any  # a :class:`~bench3r.models.catalogue.Sizes`
    trunk_dtype: torch.dtype | None = None
    head_chunk: int | None = None  # views per pass through a head; None: chosen by device
    offload_taps: bool = False  # keep what the heads read in pinned memory of the host
    schedule: Schedule
    has_reference_view: ClassVar[bool] = True  # whether one view defines the world frame

    @property
    @abstractmethod
    def trunk(self) -> Trunk:
        """The alternating trunk."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Channels of a trunk token."""

    @property
    @abstractmethod
    def taps(self) -> tuple[int, ...]:
        """Pair indices that the heads read, ascending; the last pair is among them."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, tuple[str, ...]]:
        """What the model is made of: part -> names of its modules; heads end in ``_head``."""

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, TokenLayout]:
        """Images [B, S, 3, H, W] in [0, 1] -> tokens [B, S, special + P, C] and their layout."""

    @abstractmethod
    def run_heads(
        self,
        out: TrunkOutput,
        layout: TokenLayout,
        images: Tensor,
        queries: Tensor | None = None,
        dense_views: Tensor | None = None,
    ) -> Reconstruction:
        """Trunk outputs -> reconstruction of the ``images`` [B, S, 3, H, W].

        Tracks only when ``queries`` [B, N, 2] (pixels, first view) are given. ``dense_views`` [V]
        (training): indices of the views that get dense maps, which then have that many views.
        """

    @abstractmethod
    def depths(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        """Depth [B, V, H, W] alone from tapped outputs [B, V, T, 2C] of some views.

        For methods that look at depth before the trunk is done.
        """

    @abstractmethod
    def poses(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        """Poses [B, S, 3, 4] alone from tapped outputs [B, S, T, 2C] of all views.

        In the model's own direction.
        """

    def training_blocks(self) -> list[nn.Module]:
        """The transformer blocks that make up most of the model: those of its trunk."""
        return [*self.trunk.frame_blocks, *self.trunk.global_blocks]

    def modules_without_loss(self, weights: Mapping[str, float]) -> list[nn.Module]:
        """Modules that no part of the loss reaches under these ``weights``."""
        return []

    def follow_training(self, progress: float, transition: float) -> None:
        """Told before every step how much of the training is over, from 0 to 1.

        See :class:`~bench3r.models.trainable.TrainableNetwork` for ``transition``.
        """
        self.schedule.set_progress(self, progress)

    def check_images(self, images: Tensor) -> None:
        """Raise ValueError unless ``images`` are [B, S, 3, H, W] of whole patches."""
        patch = self.trunk.patch_size
        if images.dim() != 5 or images.shape[2] != 3 or images.shape[1] < 1:
            shape = tuple(images.shape)
            raise ValueError(f"images must be [B, S, 3, H, W] with S >= 1, got {shape}")
        if images.shape[3] % patch or images.shape[4] % patch:
            sides = f"{images.shape[3]} x {images.shape[4]}"
            raise ValueError(f"image sides must be multiples of {patch}, got {sides}")

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """The trunk's precision."""
        if self.trunk_dtype in (None, torch.float32):
            return nullcontext()
        return torch.autocast(device.type, self.trunk_dtype)

    def run_trunk(self, images: Tensor, keep_all: bool = False) -> tuple[TrunkOutput, TokenLayout]:
        """Images [B, S, 3, H, W] in [0, 1] -> tapped trunk outputs [B, S, T, 2C].

        Raises ValueError for images of another shape.
        """
        self.check_images(images)
        with self.autocast(images.device):
            inputs = self.trunk.inputs(*self.embed(images), self.taps, keep_all, images)
            out = self.run_schedule(inputs)
        return out, inputs.layout

    def run_schedule(self, inputs: TrunkInput) -> TrunkOutput:
        """Let the schedule run the trunk on ``inputs``; taps [B, S, T, 2C] as they are kept.

        That is in float32; in the trunk's precision where that is lower and nothing is learnt or
        fitted, as heads then read what the trunk would have computed with.
        """
        learning = torch.is_grad_enabled() or inputs.keep_all
        if self.trunk_dtype is not None and not learning:
            inputs.tap_dtype = self.trunk_dtype
        inputs.offload_taps = self.offload_taps and not learning
        out = self.schedule(self.trunk, inputs)
        for pair in list(out.taps):  # one at a time: the one that came goes
            out.taps[pair] = inputs.store(out.taps[pair])
        return out

    def chunk(self, images: Tensor) -> int:
        """Views of ``images`` [B, S, 3, H, W] per pass through a dense head."""
        if self.head_chunk:
            return self.head_chunk
        return 1 if images.device.type == "cpu" and not torch.is_grad_enabled() else 8

    def forward(self, images: Tensor, queries: Tensor | None = None) -> Reconstruction:
        """Images [B, S, 3, H, W] in [0, 1] -> :class:`Reconstruction`.

        With query points [B, N, 2] (pixels of the first view) also tracks. Raises ValueError for
        images of another shape, or when tracks are asked of a model without a track head.
        """
        if queries is not None and not hasattr(self, "track_head"):
            kind = type(self).__name__
            raise ValueError(f"query points were given, but this {kind} has no track head")
        out, layout = self.run_trunk(images)
        return self.run_heads(out, layout, images, queries)


def add_image_statistics(module: nn.Module, persistent: bool = False) -> None:
    """Register ImageNet's mean and standard deviation [1, 3, 1, 1] as buffers.

    They are ``image_mean`` and ``image_std``.
    """
    mean = torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(IMAGE_STD).view(1, 3, 1, 1)
    module.register_buffer("image_mean", mean, persistent=persistent)
    module.register_buffer("image_std", std, persistent=persistent)


def views_of(taps: dict[int, Tensor], views: Tensor | None) -> dict[int, Tensor]:
    """Taps [B, S, T, 2C] of the chosen ``views`` [V] alone; of all for None."""
    if views is None:
        return taps
    return {pair: tokens[:, views] for pair, tokens in taps.items()}
