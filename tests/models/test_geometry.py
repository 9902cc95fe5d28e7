"""Pose encodings, unprojection, and the numpy twin."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from bench3r.metrics.projection import unproject
from bench3r.models import geometry


def random_cameras(n: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    r = Rotation.random(n, random_state=1).as_matrix()
    extrinsics = torch.from_numpy(np.concatenate([r, rng.normal(size=(n, 3, 1))], 2))
    k = torch.zeros(n, 3, 3, dtype=torch.float64)
    k[:, 0, 0], k[:, 1, 1], k[:, 2, 2] = torch.tensor(60.0), torch.tensor(70.0), torch.tensor(1.0)
    k[:, 0, 2], k[:, 1, 2] = 48.0, 36.0
    return extrinsics, k


def test_quaternions_match_scipy():
    r = Rotation.random(50, random_state=2)
    q = geometry.rotation_to_quaternion(torch.from_numpy(r.as_matrix()))
    expected = torch.from_numpy(r.as_quat(canonical=True))
    torch.testing.assert_close(q, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        geometry.quaternion_to_rotation(3 * q), torch.from_numpy(r.as_matrix())
    )


def test_half_turns_are_encoded():
    for axis in np.eye(3):
        r = torch.from_numpy(Rotation.from_rotvec(np.pi * axis).as_matrix())[None]
        torch.testing.assert_close(
            geometry.quaternion_to_rotation(geometry.rotation_to_quaternion(r)), r
        )


def test_pose_encoding_round_trip(rng):
    extrinsics, k = random_cameras(20, rng)
    pose = geometry.encode_pose(extrinsics, k, (72, 96))
    back_e, back_k = geometry.decode_pose(pose, (72, 96))
    torch.testing.assert_close(back_e, extrinsics)
    torch.testing.assert_close(back_k, k)


def test_unprojection_inverts_projection_and_matches_numpy(rng):
    extrinsics, k = random_cameras(4, rng)
    depth = torch.from_numpy(rng.uniform(1, 5, (4, 6, 8)))
    points = geometry.unproject(depth, extrinsics, k)
    camera = (
        torch.einsum("sij,shwj->shwi", extrinsics[..., :3], points)
        + extrinsics[:, None, None, :, 3]
    )
    pixel = torch.einsum("sij,shwj->shwi", k, camera)
    torch.testing.assert_close(pixel[..., 2], depth)
    u = torch.arange(8.0, dtype=torch.float64).expand(4, 6, 8)
    torch.testing.assert_close(pixel[..., 0] / pixel[..., 2], u, atol=1e-9, rtol=0)
    np.testing.assert_allclose(
        unproject(depth.numpy(), extrinsics.numpy(), k.numpy()), points.numpy(), atol=1e-12
    )
