"""ScanNet's ``.sens`` stream, read frame by frame without exporting it: colour, depth and poses of one scan in one file.

Little-endian, version 4: header with four 4x4 matrices and sizes, then per frame a pose, two time stamps, two lengths and
the two encoded images (colour JPEG or PNG; depth 16-bit, plain or zlib).
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from bench3r.api.errors import Bench3RError

VERSION = 4
COLOR_CODECS = (1, 2)  # PNG, JPEG
RAW, ZLIB = 0, 1  # of depth
FRAME = struct.Struct("<16fQQQQ")
HEADER = struct.Struct(
    "<ii4IfQ"
)  # codecs, width and height of colour and depth, depth's values a metre, frames


@dataclass(frozen=True)
class SensFile:
    """Header of a stream and where its frames lie."""

    path: Path
    intrinsic_depth: np.ndarray  # [4, 4]
    extrinsics: tuple[np.ndarray, np.ndarray]  # of colour and depth, [4, 4]
    depth_size: tuple[int, int]  # height, width
    depth_codec: int
    per_metre: float
    poses: np.ndarray  # [N, 4, 4] camera to world; -inf where tracking was lost
    offsets: tuple[
        tuple[int, int, int], ...
    ]  # where a frame's colour begins, its bytes, and those of depth

    def color(self, index: int) -> np.ndarray:
        """Colour image [H, W, 3] uint8. Raises Bench3RError naming the frame when it cannot be decoded."""
        start, count, _ = self.offsets[index]
        try:
            with Image.open(
                io.BytesIO(self._bytes(start, count)), formats=("PNG", "JPEG")
            ) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise Bench3RError(
                f"{self.path}: unreadable colour image of frame {index} ({error})"
            ) from error

    def depth(self, index: int) -> np.ndarray:
        """z-depth [H, W] float32 in metres, 0 = none. Raises Bench3RError naming the frame when it cannot be decoded."""
        start, before, count = self.offsets[index]
        data, expected = (
            self._bytes(start + before, count),
            2 * self.depth_size[0] * self.depth_size[1],
        )
        if self.depth_codec == ZLIB:
            try:
                data = zlib.decompressobj().decompress(data, expected + 1)
            except zlib.error as error:
                raise Bench3RError(
                    f"{self.path}: unreadable depth of frame {index} ({error})"
                ) from error
        if len(data) != expected:
            raise Bench3RError(
                f"{self.path}: depth of frame {index} has {len(data)} bytes, expected {expected}"
            )
        raw = np.frombuffer(data, "<u2").reshape(self.depth_size)
        return (raw / self.per_metre).astype(np.float32)

    def _bytes(self, start: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(count)


def open_sens(path: Path) -> SensFile:
    """The stream in ``path``; a file that has not changed is indexed once.

    Raises Bench3RError for what is no such stream, is cut short, or uses a codec that is not supported.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise Bench3RError(f"{path}: the stream is missing ({error})") from error
    return _indexed(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _indexed(path: Path, size: int, changed: int) -> SensFile:
    with path.open("rb") as file:

        def take(count: int, what: str) -> bytes:
            data = file.read(count) if 0 <= count <= size else b""
            if len(data) != count:
                raise Bench3RError(f"{path}: the file ends inside {what}; fetch it again")
            return data

        version = struct.unpack("<I", take(4, "the header"))[0]
        if version != VERSION:
            raise Bench3RError(
                f"{path}: no .sens stream of version {VERSION} (starts with {version})"
            )
        take(struct.unpack("<Q", take(8, "the header"))[0], "the sensor's name")
        matrices = np.frombuffer(take(256, "the header"), "<f4").reshape(4, 4, 4).astype(np.float64)
        color, depth, _, _, width, height, per_metre, count = HEADER.unpack(
            take(HEADER.size, "the header")
        )
        if color not in COLOR_CODECS or depth not in (RAW, ZLIB):
            raise Bench3RError(
                f"{path}: colour codec {color} and depth codec {depth}, expected PNG or JPEG (1, 2) and "
                "plain or zlib (0, 1)"
            )
        if not per_metre > 0 or not 0 < width * height < 1 << 28 or count * FRAME.size > size:
            raise Bench3RError(
                f"{path}: impossible header ({count} frames, depth {width} x {height}, {per_metre} a metre)"
            )
        poses, offsets = [], []
        for index in range(count):
            *pose, _, _, color_bytes, depth_bytes = FRAME.unpack(
                take(FRAME.size, f"frame {index} of {count}")
            )
            start = file.tell()
            if start + color_bytes + depth_bytes > size:
                raise Bench3RError(
                    f"{path}: the file ends inside frame {index} of {count}; fetch it again"
                )
            poses.append(pose)
            offsets.append((start, color_bytes, depth_bytes))
            file.seek(color_bytes + depth_bytes, 1)
    extrinsics = matrices[1], matrices[3]
    return SensFile(
        path,
        matrices[2],
        extrinsics,
        (height, width),
        depth,
        per_metre,
        np.array(poses, dtype=np.float64).reshape(-1, 4, 4),
        tuple(offsets),
    )
