"""Mip-NeRF 360 (Barron et al. 2022): SCENE/images_N/ and a COLMAP model in SCENE/sparse/0.

There is no ground-truth geometry.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.colmap import camera_to_world, image_called, images_by_name, read_model
from bench3r.data.formats.files import folders_with, inside
from bench3r.data.formats.images import read_depth_npy, read_image

PINHOLE = ("SIMPLE_PINHOLE", "PINHOLE")
FOLDERS = ("images_8", "images_4", "images_2", "images")  # by size; models need no large images
# what makes a sparse point trusted
LEAST_TRACK = 4  # images that see it
LARGEST_ERROR = 1.0  # pixels of reprojection error
LEAST_ANGLE = 3.0  # degrees between the rays that see it


def triangulation_angle(model: pycolmap.Reconstruction, point: pycolmap.Point3D) -> float:
    """Largest angle in degrees between the rays that see a point."""
    seen_by = [model.images[element.image_id] for element in point.track.elements]
    rays = np.array([image.projection_center() for image in seen_by]) - point.xyz
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))


def is_trusted(model: pycolmap.Reconstruction, point: pycolmap.Point3D) -> bool:
    """Whether enough images see a point, from directions that differ, with a small error."""
    if point.track.length() < LEAST_TRACK or point.error > LARGEST_ERROR:
        return False
    return triangulation_angle(model, point) >= LEAST_ANGLE


class MipNeRF360(Dataset):
    """Unbounded scenes with COLMAP poses in arbitrary units; real data have no depth or surface.

    Procedural stand-ins keep exact z-depth in ``truth/depth/``, which only procedural data have.
    """

    name = "mipnerf360"
    label = "Mip-NeRF 360"
    scene_type = "real-world"
    unit = "arbitrary"
    has_depth = False
    licence = "none stated; research use, do not redistribute"
    obtain = "Download http://storage.googleapis.com/gresearch/refraw360/360_v2.zip and unzip it."
    procedural_style = "outdoor"

    def scenes(self) -> list[str]:
        return folders_with(self.root, "sparse/0")

    def _colmap(self, scene: str) -> Path:
        return self.root / scene / "sparse" / "0"

    def frames(self, scene: str) -> list[str]:
        return list(images_by_name(self._colmap(scene)))

    def _images(self, scene: str) -> Path:
        """The folder with the smallest images; images_4 outdoors and images_2 indoors are usual."""
        for name in FOLDERS:
            folder = self.root / scene / name
            if folder.is_dir():
                return folder
        raise Bench3RError(f"{self.root / scene}: none of {', '.join(FOLDERS)} is there")

    def read(self, scene: str, frame: str) -> Frame:
        posed = image_called(frame, self._colmap(scene))
        camera = read_model(self._colmap(scene)).cameras[posed.camera_id]
        if camera.model.name not in PINHOLE:
            raise Bench3RError(
                f"{self.root / scene}: camera model {camera.model.name}, "
                f"expected {' or '.join(PINHOLE)}"
            )
        image = read_image(inside(self._images(scene), frame))
        h, w = image.shape[:2]
        to_image_size = np.diag([w / camera.width, h / camera.height, 1.0])
        k = to_image_size @ camera.calibration_matrix()
        k[:2, 2] -= 0.5  # COLMAP's pixel centres lie at half pixels
        return Frame(image, k, camera_to_world(posed), self._depth(scene, frame, h))

    def _depth(self, scene: str, frame: str, height: int) -> np.ndarray | None:
        """Exact z-depth of a procedural scene, at the pixels nearest to those of the image."""
        path = self.root / scene / "truth" / "depth" / f"{Path(frame).stem}.npy"
        if not path.exists():
            return None
        depth = read_depth_npy(path)
        step = depth.shape[0] // height
        return depth[step // 2 :: step, step // 2 :: step]

    def sparse_points(self, scene: str, frame: str) -> np.ndarray:
        """Trusted points [N, 3] of COLMAP's model that a frame sees."""
        model = read_model(self._colmap(scene))
        image = image_called(frame, self._colmap(scene))
        camera = model.cameras[image.camera_id]
        found = []
        for seen in image.points2D:
            if not seen.has_point3D():
                continue
            point = model.points3D[seen.point3D_id]
            z = float((image.cam_from_world() * point.xyz)[2])
            if z > 0 and is_trusted(model, point):
                found.append([seen.xy[0] / camera.width, seen.xy[1] / camera.height, z])
        return np.array(found, float).reshape(-1, 3)

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.formats.colmap import write_model
        from bench3r.data.procedural import layout

        size = (240, 320)
        made = layout.generate("outdoor", seed, frames, size, samples=1)
        folder = root / scene
        names = [f"_DSC{i + 1:04d}.JPG" for i in range(frames)]
        for i, name in enumerate(names):
            image = made.views.images[i]
            half = image.reshape(120, 2, 160, 2, 3).mean((1, 3))
            layout.save_image(folder / "images" / name, image)
            layout.save_image(folder / "images_2" / name, np.round(half).astype(np.uint8))
            depth = folder / "truth" / "depth" / f"{Path(name).stem}.npy"
            layout.save_array(depth, made.views.depth[i])
        points = layout.surface_samples(made.mesh, 20000, seed % 2**31)
        layout.save_array(folder / "truth" / "surface.npy", points.astype(np.float32))
        k = made.views.intrinsics[0]
        write_model(folder / "sparse" / "0", names, k, made.views.c2w, size, points[:2000])
