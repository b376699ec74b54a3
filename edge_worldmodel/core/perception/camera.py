"""Calibration of a depth camera: which intrinsics hold for an image, and the direction of each of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.types import Floats

_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14)}
_NO_MODEL = ("", "none")
_NARROWEST = 0.05
"""A focal length below this share of the image is none in pixels: the field of view would be wider than 168 degrees."""
_MARGIN = 0.05
"""A principal point this close to a corner, as a share of the size, belongs to a larger image."""
_STEEPEST_LOOK = 0.7
"""Upward part of the optical axis; above it, a pose is that of a camera body, whose x axis looks ahead."""
_UNDISTORTED_PX = 0.1
_CORRECTIONS = 15


@dataclass(frozen=True)
class Calibration:
    """Values of a sensor_msgs/CameraInfo; all of them are of the full resolution.

    Attributes:
        frame_id: optical frame.
        size: width and height in pixels; (0, 0) if the driver does not give them.
        model: distortion model.
        distortion: its coefficients.
        k: (9,) intrinsic matrix of the raw image.
        p: (12,) projection matrix of the rectified image.
        binning: pixels that are combined into one, by column and row; 0 means 1.
        roi: x, y, width and height of the part of the sensor that is sent; width and height 0 mean all of it.
    """

    frame_id: str
    size: tuple[int, int]
    model: str
    distortion: tuple[float, ...]
    k: tuple[float, ...]
    p: tuple[float, ...]
    binning: tuple[int, int] = (0, 0)
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class Intrinsics:
    """Focal lengths and principal point of an image in its own pixels, and its distortion coefficients, if any."""

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()


def intrinsics_of_image(
    calibration: Calibration, frame_id: str, size: tuple[int, int], *, rectified: bool = False
) -> Intrinsics:
    """Return the intrinsics of an image, with the binning and the region of interest of its camera.

    Args:
        calibration: calibration of the camera.
        frame_id: frame of the image.
        size: width and height of the image in pixels.
        rectified: whether the image is rectified; then the projection matrix holds, and there is no distortion.

    Raises:
        RejectedInputError: MALFORMED, image and calibration contradict each other; the message says where.
    """
    if calibration.frame_id and calibration.frame_id.strip("/") != frame_id.strip("/"):
        raise _refused(
            f"camera_info is of frame '{calibration.frame_id}', the image of '{frame_id}':"
            " give each camera a namespace of its own, with its own camera_info"
        )
    distortion = () if rectified else _distortion(calibration)
    fx, fy, cx, cy = _pinhole(calibration, rectified=rectified)
    _check_resolution(calibration, (fx, fy, cx, cy), size)
    x, y, *part = _region(calibration, size)
    binned = tuple(max(factor, 1) for factor in calibration.binning)
    fits = [sent in (full // by, -(-full // by)) for sent, full, by in zip(size, part, binned, strict=True)]
    if not all(fits):
        raise _refused(
            f"the image is {size[0]} x {size[1]} pixels, its camera_info says {part[0]} x {part[1]} binned by"
            f" {binned[0]} x {binned[1]}: take the camera_info of the node that decimates or crops the image"
        )
    return Intrinsics(fx / binned[0], fy / binned[1], (cx - x) / binned[0], (cy - y) / binned[1], distortion)


def check_calibration(calibration: Calibration, *, rectified: bool = False) -> None:
    """Check what can be checked without an image.

    Raises:
        RejectedInputError: MALFORMED, a matrix or the distortion is not usable.
    """
    _pinhole(calibration, rectified=rectified)
    if not rectified:
        _distortion(calibration)


def optical_pose_problem(pose: Floats) -> str:
    """Return what is wrong with the pose (4, 4) of an optical frame in the base frame; empty if nothing is."""
    if pose[2, 2] <= _STEEPEST_LOOK:
        return ""
    return (
        "the depth camera would look up; its frame must be the optical one (x right, y down, z forward), which for a"
        " level camera that looks ahead has roll, pitch, yaw of -1.5708, 0, -1.5708"
    )


def pixel_rays(intrinsics: Intrinsics, size: tuple[int, int], stride: int) -> tuple[Floats, Floats]:
    """Return where the rays of the used pixels meet the plane one metre ahead of the camera.

    Args:
        intrinsics: intrinsics of the image.
        size: width and height of the image in pixels.
        stride: only every n-th row and column is used.

    Returns:
        x to the right and y down, in a form that broadcasts to the used (rows, columns).

    Raises:
        RejectedInputError: MALFORMED, the distortion cannot be undone.
    """
    if any(intrinsics.distortion):
        return _undistorted_rays(intrinsics, size, stride)
    x = (np.arange(0, size[0], stride, dtype=np.float64) - intrinsics.cx) / intrinsics.fx
    y = (np.arange(0, size[1], stride, dtype=np.float64) - intrinsics.cy) / intrinsics.fy
    return x[None, :], y[:, None]


@lru_cache(maxsize=8)
def _undistorted_rays(intrinsics: Intrinsics, size: tuple[int, int], stride: int) -> tuple[Floats, Floats]:
    """Return the rays of a distorted image; computed once for each camera, because it takes iterations."""
    columns, rows = np.meshgrid(np.arange(0.0, size[0], stride), np.arange(0.0, size[1], stride))
    pixels = np.stack((columns.ravel(), rows.ravel()), axis=-1)[:, None, :]
    matrix = np.array([[intrinsics.fx, 0, intrinsics.cx], [0, intrinsics.fy, intrinsics.cy], [0, 0, 1.0]])
    distortion = np.array(intrinsics.distortion)
    focal = np.array([intrinsics.fx, intrinsics.fy])
    rays = cv2.undistortPoints(pixels, matrix, distortion)
    for _ in range(_CORRECTIONS):
        ahead = np.concatenate((rays, np.ones((len(rays), 1, 1))), axis=-1)
        missed = pixels - cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), matrix, distortion)[0]
        if np.abs(missed).max() <= _UNDISTORTED_PX:  # false for NaN
            break
        rays = rays + missed / focal
    else:
        raise _refused(
            f"distortion coefficients {list(intrinsics.distortion)} cannot be undone over the whole image:"
            " calibrate the camera again, or use its rectified depth image"
        )
    x, y = rays[:, 0, 0].reshape(rows.shape), rays[:, 0, 1].reshape(rows.shape)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _distortion(calibration: Calibration) -> tuple[float, ...]:
    """Return the distortion coefficients of a raw image; none if there is no distortion."""
    model, coefficients = calibration.model.strip().lower(), calibration.distortion
    if not np.isfinite(coefficients).all():
        raise _refused(f"distortion coefficients {list(coefficients)}: all must be finite; calibrate the camera")
    if model in _NO_MODEL and not any(coefficients):
        return ()
    if model not in _COEFFICIENTS:
        raise _refused(
            f"distortion model '{calibration.model}' is not known for depth images ({', '.join(_COEFFICIENTS)} are):"
            " use the rectified depth image, on a topic with 'rect' in its name"
        )
    if coefficients and len(coefficients) not in _COEFFICIENTS[model]:
        raise _refused(
            f"distortion model '{model}' with {len(coefficients)} coefficients:"
            f" {' or '.join(map(str, _COEFFICIENTS[model]))} are needed; calibrate the camera"
        )
    return coefficients if any(coefficients) else ()


def _pinhole(calibration: Calibration, *, rectified: bool) -> tuple[float, float, float, float]:
    """Return fx, fy, cx and cy at full resolution."""
    name, numbers = ("p", calibration.p) if rectified and any(calibration.p) else ("k", calibration.k)
    across = len(numbers) // 3
    fx, fy, cx, cy = numbers[0], numbers[across + 1], numbers[2], numbers[across + 2]
    if not np.isfinite(numbers).all() or min(fx, fy) <= 0.0:
        raise _refused(f"camera_info.{name} with focal lengths ({fx:g}, {fy:g}) px: the camera is not calibrated")
    others = (numbers[1], numbers[across], numbers[2 * across], numbers[2 * across + 1])
    if any(others) or numbers[2 * across + 2] != 1.0:
        raise _refused(
            f"camera_info.{name} = {list(numbers)} is no matrix of focal lengths and principal point, row by row"
        )
    return fx, fy, cx, cy


def _full_size(calibration: Calibration, size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of the full resolution; without them in the calibration, those of the image count."""
    if any(calibration.size):
        return calibration.size
    return size[0] * max(calibration.binning[0], 1), size[1] * max(calibration.binning[1], 1)


def _check_resolution(
    calibration: Calibration, pinhole: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    """Check that focal lengths and principal point belong to an image of the calibration's size."""
    fx, fy, cx, cy = pinhole
    width, height = _full_size(calibration, size)
    shares = cx / max(width, 1), cy / max(height, 1)
    in_corner = all(not _MARGIN < share < 1.0 - _MARGIN for share in shares)
    if in_corner or fx < _NARROWEST * width or fy < _NARROWEST * height:
        raise _refused(
            f"camera_info with principal point ({cx:g}, {cy:g}) px and focal lengths ({fx:g}, {fy:g}) px"
            f" for {width} x {height} pixels: k is of another resolution, or not in pixels"
        )


def _region(calibration: Calibration, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the sent part of the sensor, in pixels of the full resolution."""
    x, y, width, height = calibration.roi
    full = _full_size(calibration, size)
    if not (width and height):
        return 0, 0, full[0], full[1]
    if x + width > full[0] or y + height > full[1]:
        raise _refused(
            f"camera_info with a roi of {width} x {height} pixels at ({x}, {y}) in {full[0]} x {full[1]}:"
            " roi is given in pixels of the full resolution"
        )
    return x, y, width, height


def _refused(text: str) -> RejectedInputError:
    return RejectedInputError(RejectionKind.MALFORMED, text)
