"""Depth images and the calibration of their camera: Image, CompressedImage, CameraInfo."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.packed_rows import packed_rows
from edge_worldmodel.core.perception.camera import Calibration

_ENCODINGS = {"16UC1": np.uint16, "mono16": np.uint16, "32FC1": np.float32}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 26
_TRANSPORT_HEADER_BYTES = 12
"""compressed_depth_image_transport puts a number and two parameters of its quantisation before the PNG."""
_MAX_PIXELS = 50_000_000


def depth_from_msg(message: Image | CompressedImage) -> NDArray[np.generic]:
    """Return a depth image (rows, columns) as sent: floats in metres, or integers of the camera's depth unit.

    Raises:
        InputError: an encoding other than 16UC1, mono16 or 32FC1, a compression other than PNG, or sizes that do not
            match.
    """
    if isinstance(message, CompressedImage):
        return _decompressed(message)
    kind = np.dtype(_known(message.encoding))
    pixel = kind.newbyteorder(">" if message.is_bigendian else "<")
    content = f"depth image of {message.width} x {message.height} pixels"
    rows = packed_rows(message.data, message.height, message.width * pixel.itemsize, message.step, content)
    return np.ascontiguousarray(rows).view(pixel).astype(kind)


def calibration_from_msg(message: CameraInfo) -> Calibration:
    """Return the calibration of a camera, unchecked."""
    roi = message.roi
    return Calibration(
        frame_id=message.header.frame_id,
        size=(message.width, message.height),
        model=message.distortion_model,
        distortion=tuple(map(float, message.d)),
        k=tuple(map(float, message.k)),
        p=tuple(map(float, message.p)),
        binning=(message.binning_x, message.binning_y),
        roi=(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def _known(encoding: str) -> Any:
    if encoding not in _ENCODINGS:
        raise InputError(
            f"depth encoding '{encoding[:40]}': expected one of {', '.join(_ENCODINGS)}; is it a colour image?"
        )
    return _ENCODINGS[encoding]


def _decompressed(message: CompressedImage) -> NDArray[np.generic]:
    """Return the image of a "compressedDepth" topic, or of a "compressed" one that is a PNG of 16 bits."""
    kind = _known(message.format.split(";")[0].strip())
    data = bytes(message.data)
    start = next((at for at in (_TRANSPORT_HEADER_BYTES, 0) if data.startswith(_PNG, at)), None)
    if start is None or len(data) < start + _PNG_HEADER_BYTES:
        raise InputError(
            f"compressed depth image of format '{message.format[:60]}' is no PNG: set the publisher's"
            " parameter '.compressedDepth.format' to png, or use the uncompressed topic"
        )
    width, height, bits, colours = struct.unpack_from(">IIBB", data, start + 16)
    if (bits, colours) != (16, 0) or width * height > _MAX_PIXELS:
        raise InputError(
            f"compressed depth image of {width} x {height} pixels with {bits} bits:"
            f" one channel of 16 bits and at most {_MAX_PIXELS} pixels are expected"
        )
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8, offset=start), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (height, width):
        raise InputError(f"compressed depth image of {width} x {height} pixels is damaged: its PNG cannot be read")
    if kind is np.uint16:
        return np.asarray(pixels)
    if start == 0:
        raise InputError("compressed depth image of metres without its quantisation: use the topic 'compressedDepth'")
    return _dequantised(pixels, *struct.unpack_from("<ff", data, 4))


def _dequantised(pixels: NDArray[Any], scale: float, offset: float) -> NDArray[np.generic]:
    """Return metres of a quantised inverse depth; 0 marks a pixel without measurement."""
    if not (np.isfinite([scale, offset]).all() and scale > 0.0):
        raise InputError(f"compressed depth image with quantisation ({scale:g}, {offset:g}): expected a positive scale")
    steps = pixels.astype(np.float64) - offset
    measured = (pixels > 0) & (steps > 0.0)
    depth_m = np.divide(scale, steps, out=np.full(pixels.shape, np.nan), where=measured)
    return depth_m.astype(np.float32)
