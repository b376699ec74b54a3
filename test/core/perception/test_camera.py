"""Intrinsics of an image: binning, region of interest and distortion are applied, and what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from edge_worldmodel.core.geometry import pose_matrix
from edge_worldmodel.core.perception.camera import (
    Calibration,
    check_calibration,
    intrinsics_of_image,
    optical_pose_problem,
)
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.perception.depth import sweep_from_depth
from edge_worldmodel.core.rejection import RejectedInputError

WIDTH, HEIGHT, FOCAL, CX, CY = 160, 120, 140.0, 78.0, 61.0
K = (FOCAL, 0.0, CX, 0.0, FOCAL, CY, 0.0, 0.0, 1.0)
P = (FOCAL, 0.0, CX, 0.0, 0.0, FOCAL, CY, 0.0, 0.0, 0.0, 1.0, 0.0)
CALIBRATION = Calibration("optical", (WIDTH, HEIGHT), "plumb_bob", (0.0,) * 5, K, P)
LEVEL = pose_matrix((0.2, 0.0, 0.5, -np.pi / 2, 0.0, -np.pi / 2))
POST_M = np.array([2.0, 0.4])
BARREL = (-0.25, 0.06, 0.001, -0.002, 0.0)


@lru_cache
def depth_of_a_post(distortion: tuple[float, ...] = ()) -> np.ndarray:
    """Depth in metres of a post ahead on the left, in the raw image of the whole sensor; nothing else is seen."""
    columns, rows = np.meshgrid(np.arange(float(WIDTH)), np.arange(float(HEIGHT)))
    k1, k2, p1, p2, k3 = distortion or (0.0,) * 5
    seen_x, seen_y = (columns - CX) / FOCAL, (rows - CY) / FOCAL
    x, y = seen_x, seen_y
    for _ in range(60 if distortion else 0):
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        x, y = (
            (seen_x - 2.0 * p1 * x * y - p2 * (r2 + 2.0 * x * x)) / radial,
            (seen_y - p1 * (r2 + 2.0 * y * y) - 2.0 * p2 * x * y) / radial,
        )
    left = -x
    return np.where(np.abs(left - POST_M[1] / POST_M[0]) < 0.03, POST_M[0], 0.0)


def post_seen(image: np.ndarray, calibration: Calibration, **options: Any) -> np.ndarray:
    """Mean place (2,) of the hits as seen from the camera."""
    camera = intrinsics_of_image(calibration, "optical", (image.shape[1], image.shape[0]), **options)
    pinhole = camera.fx, camera.fy, camera.cx, camera.cy
    sweep = sweep_from_depth(0, image, *pinhole, LEVEL, PerceptionConfig(depth_stride=1), camera.distortion)
    return (sweep.endpoints[sweep.hit] - sweep.origin).mean(axis=0)


@pytest.mark.parametrize("binning", [(0, 0), (1, 1), (2, 2), (4, 2), (3, 3)])
@pytest.mark.parametrize("roi", [(0, 0, 0, 0), (0, 0, WIDTH, HEIGHT), (20, 10, 100, 90), (8, 0, 52, HEIGHT)])
def test_a_decimated_or_cropped_image_sees_the_post_where_it_is(binning, roi) -> None:
    x, y, width, height = roi if roi[2] else (0, 0, WIDTH, HEIGHT)
    across, down = max(binning[0], 1), max(binning[1], 1)
    image = depth_of_a_post()[y : y + height, x : x + width][::down, ::across]
    seen = post_seen(image, replace(CALIBRATION, binning=binning, roi=roi))
    np.testing.assert_allclose(seen, POST_M, atol=0.04)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial"])
def test_distortion_of_a_raw_image_is_undone(model) -> None:
    calibration = replace(CALIBRATION, model=model, distortion=(*BARREL, *(0.0,) * (3 if "rat" in model else 0)))
    np.testing.assert_allclose(post_seen(depth_of_a_post(BARREL), calibration), POST_M, atol=0.02)
    cropped = replace(calibration, roi=(10, 0, 120, HEIGHT), binning=(2, 2))
    np.testing.assert_allclose(post_seen(depth_of_a_post(BARREL)[::2, 10:130:2], cropped), POST_M, atol=0.03)


def test_a_rectified_image_needs_the_projection_matrix_and_no_distortion() -> None:
    raw = (90.0, 0.0, 70.0, 0.0, 90.0, 50.0, 0.0, 0.0, 1.0)
    calibration = replace(CALIBRATION, k=raw, model="equidistant", distortion=(0.1, 0.0, 0.0, 0.0))
    np.testing.assert_allclose(post_seen(depth_of_a_post(), calibration, rectified=True), POST_M, atol=0.02)


def test_a_driver_that_gives_no_size_is_taken_at_its_image() -> None:
    np.testing.assert_allclose(post_seen(depth_of_a_post(), replace(CALIBRATION, size=(0, 0))), POST_M, atol=0.02)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (640, 480)}, "the image is 160 x 120"),
        ({"size": (320, 240), "k": tuple(2 * x if x > 1 else x for x in K)}, "the image is 160 x 120"),
        ({"size": (80, 60)}, "another resolution"),
        ({"size": (160, 90)}, "the image is 160 x 120"),
        ({"binning": (2, 2)}, "binned by 2"),
        ({"roi": (20, 10, 100, 90)}, "the image is 160 x 120"),
        ({"roi": (100, 0, 100, 120)}, "roi of 100 x 120"),
        ({"k": (0.0,) * 9}, "not calibrated"),
        ({"k": (np.nan, *K[1:])}, "not calibrated"),
        ({"k": (-FOCAL, *K[1:])}, "not calibrated"),
        ({"k": tuple(np.reshape(K, (3, 3)).T.ravel())}, "no matrix"),
        ({"k": (FOCAL, 0.0, 0.0, 0.0, FOCAL, 0.0, 0.0, 0.0, 1.0)}, "another resolution"),
        ({"k": (0.9, 0.0, 0.5, 0.0, 0.9, 0.5, 0.0, 0.0, 1.0)}, "not in pixels"),
        ({"frame_id": "colour"}, "frame 'colour', the image of 'optical'"),
        ({"model": "equidistant"}, "model 'equidistant' is not known"),
        ({"model": "omni", "distortion": BARREL}, "model 'omni' is not known"),
        ({"model": "", "distortion": BARREL}, "model '' is not known"),
        ({"distortion": BARREL[:3]}, "3 coefficients"),
        ({"distortion": (np.inf, *BARREL[1:])}, "finite"),
        ({"distortion": (-30.0, 200.0, 0.0, 0.0, 50.0)}, "cannot be undone"),
    ],
)
def test_a_calibration_of_another_image_is_refused_in_words(changes, words) -> None:
    with pytest.raises(RejectedInputError, match=words):
        post_seen(depth_of_a_post(), replace(CALIBRATION, **changes))


def test_a_calibration_is_checked_as_soon_as_it_comes() -> None:
    check_calibration(CALIBRATION)
    for changes in ({"k": (0.0,) * 9}, {"model": "omni"}, {"distortion": (np.nan,) * 5}):
        with pytest.raises(RejectedInputError):
            check_calibration(replace(CALIBRATION, **changes))
    check_calibration(replace(CALIBRATION, model="omni"), rectified=True)


def test_an_image_resized_without_its_calibration_is_refused() -> None:
    for image in (depth_of_a_post()[::2, ::2], depth_of_a_post()[:, 40:120]):
        with pytest.raises(RejectedInputError, match="its camera_info says"):
            post_seen(image, CALIBRATION)
        with pytest.raises(RejectedInputError, match="another resolution|its camera_info says"):
            post_seen(image, replace(CALIBRATION, size=(80, 60)))


@pytest.mark.parametrize(
    ("rotation", "fits"),
    [((-np.pi / 2, 0.0, -np.pi / 2), True), ((-2.0, 0.0, -np.pi / 2), True), ((0.0,) * 3, False), ((0, 0.3, 1), False)],
)
def test_the_pose_of_a_camera_body_is_no_optical_pose(rotation, fits) -> None:
    assert bool(optical_pose_problem(pose_matrix((0.2, 0.0, 0.5, *rotation)))) is not fits
