"""DTU (Jensen et al. 2014), the processed layout of Spann3R, CUT3R and Pi3: scanN/{images,depths,binary_masks,cams}."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.dataset import Dataset, Frame, check_rotation, read_image
from bench3r.errors import Bench3RError
from bench3r.mvsnet import read_cam, write_cam, write_pairs


class DTU(Dataset):
    """One object on a table under controlled light. Millimetres, world-to-camera files, z-depth .npy, masks."""

    name = "dtu"
    label = "DTU"
    scene_type = "controlled"
    unit = "mm"
    icp_distance = 100.0
    licence = "free for research with citation"
    obtain = "Data: http://roboimagedata.compute.dtu.dk; the processed layout is described in Spann3R's documentation."
    procedural_style = "tabletop"

    def scenes(self) -> list[str]:
        names = [p.name for p in self.root.iterdir() if p.name.startswith("scan") and (p / "cams").is_dir()]
        return sorted(names, key=lambda n: (int(n[4:]) if n[4:].isdigit() else 0, n))

    def frames(self, scene: str) -> list[str]:
        return sorted((p.stem for p in (self.root / scene / "images").glob("*.jpg")), key=int)

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        w2c, k = read_cam(folder / "cams" / f"{frame}_cam.txt")
        check_rotation(w2c, str(folder / "cams" / f"{frame}_cam.txt"))
        image = read_image(folder / "images" / f"{frame}.jpg")
        if abs(k[0, 2] / image.shape[1] - 0.5) > 0.1:
            raise Bench3RError(f"{folder / 'cams' / f'{frame}_cam.txt'}: the intrinsics are for another image size "
                               f"(cx {k[0, 2]:.1f}, image width {image.shape[1]})")  # fmt: skip
        return Frame(image, k, np.linalg.inv(w2c), self._depth(folder, frame, image.shape[:2]))

    def _depth(self, folder: Path, frame: str, size: tuple[int, int]) -> np.ndarray:
        path = folder / "depths" / f"{frame}.npy"
        try:
            depth = np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise Bench3RError(f"{path}: depth map is missing") from error
        except (ValueError, OSError, EOFError) as error:
            raise Bench3RError(f"{path}: unreadable depth map ({error})") from error
        mask = read_image(folder / "binary_masks" / f"{frame}.png")[..., 0] > 127
        if depth.shape != size or mask.shape != size:
            raise Bench3RError(f"{path}: image {size}, depth {depth.shape} and mask {mask.shape} differ in size")
        return np.where(mask, np.nan_to_num(depth, nan=0, posinf=0, neginf=0), 0).astype(np.float32)

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.procedural import layout

        data, folder = layout.generate("tabletop", seed, frames, (120, 160)), root / scene
        for name in ("depths", "cams"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(frames):
            depth = 1000 * data.views.depth[i]
            layout.save_image(folder / "images" / f"{i:08d}.jpg", data.views.images[i])
            layout.save_image(folder / "binary_masks" / f"{i:08d}.png", np.where(depth > 0, 255, 0).astype(np.uint8))
            np.save(folder / "depths" / f"{i:08d}.npy", depth)
            w2c = np.linalg.inv(data.views.c2w[i])
            w2c[:3, 3] *= 1000
            write_cam(folder / "cams" / f"{i:08d}_cam.txt", w2c, data.views.intrinsics[i], depth)
        write_pairs(folder / "pair.txt", frames)
        points = 1000 * layout.surface_samples(data.mesh, 20000, seed % 2**31)
        stl = root / "Points" / "stl" / f"stl{int(scene[4:]):03d}_total.ply"
        layout.save_points(stl, points)

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Official-looking names above the range of the real scans."""
        return f"scan{901 + index}"
