"""ScanNet's ``.sens`` stream, read frame by frame without exporting it.

One file holds colour, depth and poses of a scan. Little-endian, version 4: a header with four 4x4
matrices and sizes, then per frame a pose, two time stamps, two lengths and the two encoded images
(colour JPEG or PNG; depth 16-bit, plain or zlib).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from bench3r.api.errors import Bench3RError

VERSION = 4
COLOR_CODECS = (1, 2)  # PNG, JPEG
RAW = 0  # codecs of depth
ZLIB = 1
MATRICES = 4 * 16 * 4  # bytes of the header's four matrices
HEADER = struct.Struct("<ii4IfQ")
FRAME = struct.Struct("<16fQQQQ")


class Header(NamedTuple):
    """The numbers of a stream's header, as ``HEADER`` lays them out."""

    color_codec: int
    depth_codec: int
    color_width: int
    color_height: int
    depth_width: int
    depth_height: int
    per_metre: float  # depth values a metre
    frames: int


class Place(NamedTuple):
    """Where a frame's images lie."""

    start: int  # of its colour image; depth follows
    color_bytes: int
    depth_bytes: int


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
    places: tuple[Place, ...]  # of the N frames

    def color(self, index: int) -> np.ndarray:
        """Colour image [H, W, 3] uint8. Raises Bench3RError when it cannot be decoded."""
        place = self.places[index]
        data = io.BytesIO(self._bytes(place.start, place.color_bytes))
        try:
            with Image.open(data, formats=("PNG", "JPEG")) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise Bench3RError(
                f"{self.path}: unreadable colour image of frame {index} ({error})"
            ) from error

    def depth(self, index: int) -> np.ndarray:
        """z-depth [H, W] float32 in metres, 0 = none. Raises Bench3RError for undecodable data."""
        place = self.places[index]
        data = self._bytes(place.start + place.color_bytes, place.depth_bytes)
        expected = 2 * self.depth_size[0] * self.depth_size[1]
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

    Raises Bench3RError for what is no such stream, is cut short, or uses an unsupported codec.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise Bench3RError(f"{path}: the stream is missing ({error})") from error
    return _indexed(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _indexed(path: Path, size: int, changed: int) -> SensFile:
    with path.open("rb") as file:
        take = _taker(file, size)
        version = struct.unpack("<I", take(4, "the header"))[0]
        if version != VERSION:
            raise Bench3RError(
                f"{path}: no .sens stream of version {VERSION} (starts with {version})"
            )
        take(struct.unpack("<Q", take(8, "the header"))[0], "the sensor's name")
        matrices = np.frombuffer(take(MATRICES, "the header"), "<f4").reshape(4, 4, 4)
        matrices = matrices.astype(np.float64)  # intrinsics and extrinsics of colour, then of depth
        header = Header._make(HEADER.unpack(take(HEADER.size, "the header")))
        _check_header(header, path, size)
        poses, places = _frames(file, take, header.frames, size)
    return SensFile(
        path=path,
        intrinsic_depth=matrices[2],
        extrinsics=(matrices[1], matrices[3]),
        depth_size=(header.depth_height, header.depth_width),
        depth_codec=header.depth_codec,
        per_metre=header.per_metre,
        poses=poses,
        places=places,
    )


def _taker(file: BinaryIO, size: int) -> Callable[[int, str], bytes]:
    """Reads a count of bytes of ``file``, which has ``size``, or says inside what it ends."""

    def take(count: int, what: str) -> bytes:
        data = file.read(count) if 0 <= count <= size else b""
        if len(data) != count:
            raise Bench3RError(f"{file.name}: the file ends inside {what}; fetch it again")
        return data

    return take


def _check_header(header: Header, path: Path, size: int) -> None:
    if header.color_codec not in COLOR_CODECS or header.depth_codec not in (RAW, ZLIB):
        raise Bench3RError(
            f"{path}: colour codec {header.color_codec} and depth codec {header.depth_codec}, "
            "expected PNG or JPEG (1, 2) and plain or zlib (0, 1)"
        )
    possible_size = 0 < header.depth_width * header.depth_height < 1 << 28
    if not header.per_metre > 0 or not possible_size or header.frames * FRAME.size > size:
        raise Bench3RError(
            f"{path}: impossible header ({header.frames} frames, depth {header.depth_width} x "
            f"{header.depth_height}, {header.per_metre} a metre)"
        )


def _frames(
    file: BinaryIO, take: Callable[[int, str], bytes], count: int, size: int
) -> tuple[np.ndarray, tuple[Place, ...]]:
    """Poses [count, 4, 4] and places of the frames that follow in ``file``."""
    poses = []
    places = []
    for index in range(count):
        frame = f"frame {index} of {count}"
        *pose, _, _, color_bytes, depth_bytes = FRAME.unpack(take(FRAME.size, frame))
        place = Place(file.tell(), color_bytes, depth_bytes)
        if place.start + color_bytes + depth_bytes > size:
            raise Bench3RError(f"{file.name}: the file ends inside {frame}; fetch it again")
        poses.append(pose)
        places.append(place)
        file.seek(color_bytes + depth_bytes, 1)
    return np.array(poses, dtype=np.float64).reshape(-1, 4, 4), tuple(places)
