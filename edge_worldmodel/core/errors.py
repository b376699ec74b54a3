"""One error class per cause, so that callers can tell them apart and people can act on them."""

from __future__ import annotations


class EdgeWorldModelError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigError(EdgeWorldModelError):
    """A configuration value is out of range, of the wrong type or inconsistent with another."""


class TensorMismatchError(EdgeWorldModelError):
    """A tensor does not have the shape or dtype that the tensor table gives it."""


class ModelError(EdgeWorldModelError):
    """A model could not be verified or loaded."""


class BackendError(EdgeWorldModelError):
    """A backend could not run a network."""


class InputError(EdgeWorldModelError):
    """A sensor or graph message cannot be used: malformed, out of order, without a pose."""


class RecordingError(EdgeWorldModelError):
    """A recording cannot be read."""


class SceneStoreError(EdgeWorldModelError):
    """Scenes cannot be kept on disk at present."""
