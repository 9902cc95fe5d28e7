"""Mip-NeRF 360 (Barron et al. 2022): images_N/ and a COLMAP model in sparse/0. There is no ground-truth geometry."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pycolmap

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import inside
from bench3r.data.formats.images import read_depth_npy, read_image

LEAST_TRACK, LARGEST_ERROR, LEAST_ANGLE = (
    4,
    1.0,
    3.0,
)  # images, pixels, degrees: what makes a sparse point trusted
PINHOLE = ("SIMPLE_PINHOLE", "PINHOLE")


class MipNeRF360(Dataset):
    """Unbounded scenes with COLMAP poses in arbitrary units; real data have no depth and no surface.

    Procedural stand-ins keep true depth in ``truth/depth/``, which only procedural data have.
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
        return sorted(p.name for p in self.root.iterdir() if (p / "sparse" / "0").is_dir())

    @cached_property
    def _models(self) -> dict[str, pycolmap.Reconstruction]:
        return {}

    def _model(self, scene: str) -> pycolmap.Reconstruction:
        if scene not in self._models:
            path = self.root / scene / "sparse" / "0"
            try:
                self._models[scene] = pycolmap.Reconstruction(str(path))
            except Exception as error:  # pycolmap raises its own and the standard library's types
                raise Bench3RError(f"{path}: not a readable COLMAP model ({error})") from error
        return self._models[scene]

    def frames(self, scene: str) -> list[str]:
        try:
            return sorted(image.name for image in self._model(scene).images.values())
        except UnicodeDecodeError as error:
            raise Bench3RError(
                f"{self.root / scene / 'sparse' / '0'}: an image's name is no text ({error})"
            ) from error

    def _folder(self, scene: str) -> Path:
        """images_4 outdoors and images_2 indoors are usual; the smallest folder that is there is enough for models."""
        for name in ("images_8", "images_4", "images_2", "images"):
            if (self.root / scene / name).is_dir():
                return self.root / scene / name
        raise Bench3RError(
            f"{self.root / scene}: none of images, images_2, images_4, images_8 is there"
        )

    def read(self, scene: str, frame: str) -> Frame:
        """One frame; intrinsics scaled from the full resolution to the image file, COLMAP's half pixel removed."""
        model = self._model(scene)
        found = [i for i in model.images.values() if i.name == frame]
        if not found:
            raise Bench3RError(f"{self.root / scene}: image {frame!r} is not in the COLMAP model")
        camera = model.cameras[found[0].camera_id]
        if camera.model.name not in PINHOLE:
            raise Bench3RError(
                f"{self.root / scene}: camera model {camera.model.name}, expected {' or '.join(PINHOLE)}"
            )
        image = read_image(inside(self._folder(scene), frame))
        h, w = image.shape[:2]
        k = np.diag([w / camera.width, h / camera.height, 1.0]) @ camera.calibration_matrix()
        k[:2, 2] -= 0.5
        w2c = np.eye(4)
        w2c[:3] = found[0].cam_from_world().matrix()
        return Frame(image, k, np.linalg.inv(w2c), self._truth(scene, frame, (h, w)))

    def sparse_points(self, scene: str, frame: str) -> np.ndarray:
        """Points of COLMAP's model: seen by four images or more, error at most a pixel, angle at least three degrees."""
        model = self._model(scene)
        image = next((i for i in model.images.values() if i.name == frame), None)
        if image is None:
            raise Bench3RError(f"{self.root / scene}: image {frame!r} is not in the COLMAP model")
        camera, out = model.cameras[image.camera_id], []
        for seen in image.points2D:
            point = model.points3D[seen.point3D_id] if seen.has_point3D() else None
            if point is None or point.track.length() < LEAST_TRACK or point.error > LARGEST_ERROR:
                continue
            if self._angle(model, point) < LEAST_ANGLE:
                continue
            z = float((image.cam_from_world() * point.xyz)[2])
            if z > 0:
                out.append([seen.xy[0] / camera.width, seen.xy[1] / camera.height, z])
        return np.array(out, float).reshape(-1, 3)

    @staticmethod
    def _angle(model: pycolmap.Reconstruction, point: pycolmap.Point3D) -> float:
        """Largest angle in degrees between the rays that see a point."""
        centres = np.array(
            [model.images[e.image_id].projection_center() for e in point.track.elements]
        )
        rays = centres - point.xyz
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return float(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))

    def _truth(self, scene: str, frame: str, size: tuple[int, int]) -> np.ndarray | None:
        path = self.root / scene / "truth" / "depth" / f"{Path(frame).stem}.npy"
        if not path.exists():
            return None
        depth = read_depth_npy(path)
        step = depth.shape[0] // size[0]
        return depth[
            step // 2 :: step, step // 2 :: step
        ]  # the pixel nearest to each coarse pixel's centre

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        data, folder = layout.generate("outdoor", seed, frames, (240, 320), samples=1), root / scene
        names = [f"_DSC{i + 1:04d}.JPG" for i in range(frames)]
        (folder / "truth" / "depth").mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(names):
            layout.save_image(folder / "images" / name, data.views.images[i])
            half = data.views.images[i].reshape(120, 2, 160, 2, 3).mean((1, 3))
            layout.save_image(folder / "images_2" / name, np.round(half).astype(np.uint8))
            np.save(folder / "truth" / "depth" / f"{Path(name).stem}.npy", data.views.depth[i])
        points = layout.surface_samples(data.mesh, 20000, seed % 2**31)
        np.save(folder / "truth" / "surface.npy", points.astype(np.float32))
        write_colmap(
            folder / "sparse" / "0",
            names,
            data.views.intrinsics[0],
            data.views.c2w,
            (240, 320),
            points[:2000],
        )

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Names that no real scene has."""
        return f"procedural{index:03d}"


def write_colmap(
    path: Path,
    names: list[str],
    k: np.ndarray,
    c2w: np.ndarray,
    size: tuple[int, int],
    points: np.ndarray,
) -> None:
    """Write a binary COLMAP model with one PINHOLE camera, posed images and their sparse points."""
    path.mkdir(parents=True, exist_ok=True)
    model = pycolmap.Reconstruction()
    parameters = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5]
    camera = pycolmap.Camera(
        model="PINHOLE", width=size[1], height=size[0], params=parameters, camera_id=1
    )
    model.add_camera_with_trivial_rig(camera)
    for i, (name, pose) in enumerate(zip(names, c2w, strict=True), 1):
        image = pycolmap.Image(name=name, camera_id=1, image_id=i)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.linalg.inv(pose)[:3]))
    for point in points:
        model.add_point3D(point, pycolmap.Track(), np.zeros(3, np.uint8))
    model.write_binary(str(path))
