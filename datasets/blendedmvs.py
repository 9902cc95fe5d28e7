"""BlendedMVS (Yao et al. 2020), low resolution: PID/{blended_images,cams,rendered_depth_maps}."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.images import read_image
from bench3r.data.formats.mvsnet import read_cam, read_pfm, write_cam, write_pairs, write_pfm
from bench3r.data.poses import check_rotation

PROCEDURAL_SCALE = (
    10.0  # units per metre of the stand-in: BlendedMVS has another one in every scene
)
VALIDATION = (  # upstream's validation list; the other 106 scenes are for training
    "5b7a3890fc8fcf6781e2593a",
    "5c189f2326173c3a09ed7ef3",
    "5b950c71608de421b1e7318f",
    "5a6400933d809f1d8200af15",
    "59d2657f82ca7774b1ec081d",
    "5ba19a8a360c7c30c1c169df",
    "59817e4a1bd4b175e7038d19",
)


class BlendedMVS(Dataset):
    """Rendered views of reconstructed meshes blended with photographs. World-to-camera files, arbitrary units."""

    name = "blendedmvs"
    label = "BlendedMVS"
    scene_type = "real-world"
    unit = "arbitrary"
    icp_distance = 0.1
    licence = "CC BY 4.0"
    obtain = "Data: https://github.com/YoYo000/BlendedMVS (low-resolution release, 27.5 GB)."
    procedural_style = "tabletop"

    def scenes(self) -> list[str]:
        return sorted(
            p.name
            for p in self.root.iterdir()
            if re.fullmatch(r"[0-9a-f]{24}", p.name) and (p / "cams").is_dir()
        )

    def frames(self, scene: str) -> list[str]:
        images = (p.stem for p in (self.root / scene / "blended_images").glob("*.jpg"))
        return sorted((s for s in images if s.isdigit()), key=int)  # NAME_masked.jpg are twins

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        cam = folder / "cams" / f"{frame}_cam.txt"
        w2c, k = read_cam(cam)
        check_rotation(w2c, str(cam))
        image = read_image(folder / "blended_images" / f"{frame}.jpg")
        path = folder / "rendered_depth_maps" / f"{frame}.pfm"
        depth = read_pfm(path)
        if depth.shape != image.shape[:2]:
            raise Bench3RError(
                f"{path}: depth {depth.shape} and image {image.shape[:2]} differ in size"
            )
        return Frame(
            image,
            k,
            np.linalg.inv(w2c),
            np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32),
        )

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        data, folder = layout.generate("tabletop", seed, frames, (120, 160)), root / scene
        for i in range(frames):
            depth, image = PROCEDURAL_SCALE * data.views.depth[i], data.views.images[i]
            layout.save_image(folder / "blended_images" / f"{i:08d}.jpg", image)
            masked = np.where(depth[..., None] > 0, image, 0).astype(np.uint8)
            layout.save_image(folder / "blended_images" / f"{i:08d}_masked.jpg", masked)
            write_pfm(folder / "rendered_depth_maps" / f"{i:08d}.pfm", depth)
            w2c = np.linalg.inv(data.views.c2w[i])
            w2c[:3, 3] *= PROCEDURAL_SCALE
            write_cam(
                folder / "cams" / f"{i:08d}_cam.txt", w2c, data.views.intrinsics[i], depth, tail=4
            )
        write_pairs(folder / "cams" / "pair.txt", frames)

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """24 hexadecimal digits that no real scene has."""
        return f"{index:024x}"
