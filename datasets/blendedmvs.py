"""BlendedMVS (Yao et al. 2020), low resolution.

SCENE/blended_images/NNNNNNNN.jpg, SCENE/cams/NNNNNNNN_cam.txt and
SCENE/rendered_depth_maps/NNNNNNNN.pfm; SCENE is 24 hexadecimal digits.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, numbered_stems
from bench3r.data.formats.images import check_same_size, known_depth, read_image
from bench3r.data.formats.mvsnet import read_cam, read_pfm, write_cam, write_pairs, write_pfm
from bench3r.data.poses import check_rotation

SCENE = re.compile(r"[0-9a-f]{24}")
# units per metre of the procedural stand-in; BlendedMVS has another number in every scene
PROCEDURAL_UNITS = 10.0


class BlendedMVS(Dataset):
    """Rendered views of reconstructed meshes blended with photographs; world-to-camera files."""

    name = "blendedmvs"
    label = "BlendedMVS"
    scene_type = "real-world"
    unit = "arbitrary"
    icp_distance = 0.1
    licence = "CC BY 4.0"
    obtain = "Data: https://github.com/YoYo000/BlendedMVS (low-resolution release, 27.5 GB)."
    procedural_style = "tabletop"

    def scenes(self) -> list[str]:
        return list(filter(SCENE.fullmatch, folders_with(self.root, "cams")))

    def frames(self, scene: str) -> list[str]:
        # NNNNNNNN_masked.jpg beside an image is its twin without background
        return numbered_stems(self.root / scene / "blended_images", "*.jpg")

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        camera = folder / "cams" / f"{frame}_cam.txt"
        w2c, k = read_cam(camera)
        check_rotation(w2c, str(camera))
        image = read_image(folder / "blended_images" / f"{frame}.jpg")
        path = folder / "rendered_depth_maps" / f"{frame}.pfm"
        depth = known_depth(read_pfm(path))
        check_same_size(depth, image, path)
        return Frame(image, k, np.linalg.inv(w2c), depth)

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        views = layout.generate("tabletop", seed, frames, (120, 160)).views
        folder = root / scene
        for i in range(frames):
            image = views.images[i]
            depth = PROCEDURAL_UNITS * views.depth[i]
            masked = np.where(depth[..., None] > 0, image, 0).astype(np.uint8)
            layout.save_image(folder / "blended_images" / f"{i:08d}.jpg", image)
            layout.save_image(folder / "blended_images" / f"{i:08d}_masked.jpg", masked)
            write_pfm(folder / "rendered_depth_maps" / f"{i:08d}.pfm", depth)
            camera = folder / "cams" / f"{i:08d}_cam.txt"
            w2c = layout.world_to_camera(views.c2w[i], PROCEDURAL_UNITS)
            write_cam(camera, w2c, views.intrinsics[i], depth, tail=4)
        write_pairs(folder / "cams" / "pair.txt", frames)

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """24 hexadecimal digits that no real scene has."""
        return f"{index:024x}"
