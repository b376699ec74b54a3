"""Errors of this package, one class per cause."""

from __future__ import annotations


class EdgeWorldModelError(Exception):
    """Base class of all errors that this package raises on purpose."""


class ConfigError(EdgeWorldModelError):
    """A configuration value is out of range, has the wrong type or contradicts another one."""


class TensorMismatchError(EdgeWorldModelError):
    """A tensor does not have the shape or dtype that the tensor table gives it."""


class ModelError(EdgeWorldModelError):
    """A model could not be verified or loaded."""


class BackendError(EdgeWorldModelError):
    """A backend could not run a network."""


class InputError(EdgeWorldModelError):
    """A message cannot be used, for example because it is malformed, out of order or without a pose."""


class RecordingError(EdgeWorldModelError):
    """A recording cannot be read."""


class SceneStoreError(EdgeWorldModelError):
    """Scenes cannot be kept on disk at present."""


class LatchStoreError(EdgeWorldModelError):
    """The record of latched faults and pressed emergency stops cannot be read or written."""
