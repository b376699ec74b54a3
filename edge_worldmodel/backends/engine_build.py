"""Compiles a verified ONNX network into a TensorRT engine, on the device that will run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.tensors import NetworkSpec

WORKSPACE_BYTES = 256 << 20
"""Limit for scratch memory of kernels; the networks need a few MB, and a Jetson shares its memory with the CPU."""

Shape = tuple[int, ...]
Progress = Callable[[str, float], bool]
"""Called with the phase and the share of it that is done; returning False cancels the build."""


class EngineBuildError(BackendError):
    """TensorRT could not build an engine."""


class PrecisionError(EngineBuildError):
    """The file does not have the requested precision, and this TensorRT cannot convert it."""


class BuildCancelledError(EngineBuildError):
    """The build was cancelled."""


@dataclass(frozen=True)
class Precision:
    """How to request a precision from TensorRT: typing of the network, and builder flags."""

    strongly_typed: bool
    flags: tuple[str, ...]


def profile_shapes(spec: NetworkSpec, options: BackendOptions) -> dict[str, tuple[Shape, Shape, Shape]]:
    """Return the smallest, usual and largest shape of every input with a batch of futures."""
    batches = (1, options.futures, options.max_futures)
    return {
        tensor.name: tuple(tensor.with_batch(batch) for batch in batches)  # type: ignore[misc]
        for tensor in spec.inputs
        if None in tensor.shape
    }


def precision_for(version: str, precision: str, quantised: bool) -> Precision:
    """Return how to request a precision.

    TensorRT 10 can compute an FP32 file in half precision if a flag allows it. TensorRT 11 always uses the types of the
    file; version 10 calls this strongly typed.
    """
    if precision != "fp16" or int(version.split(".")[0]) >= 11:
        return Precision(True, ())
    return Precision(False, ("FP16", "INT8") if quantised else ("FP16",))


def build_engine(
    trt: Any, logger: Any, spec: NetworkSpec, onnx: bytes, options: BackendOptions, progress: Progress
) -> bytes:
    """Return the serialised engine of a network; building takes minutes on a small device.

    Args:
        trt: the module tensorrt, with a builder.
        logger: a logger of TensorRT.
        spec: tensors of the network.
        onnx: verified ONNX bytes.
        options: precision, batches, version compatibility.
        progress: called as the build proceeds.

    Raises:
        PrecisionError: the file does not have the requested precision.
        BuildCancelledError: ``progress`` returned False.
        EngineBuildError: the file cannot be read or compiled.
    """
    builder = trt.Builder(logger)
    # Leaves the other cores to the robot's nodes.
    builder.max_threads = 1
    requested = precision_for(
        trt.__version__, options.precision, _is_quantised(trt, builder, logger, spec, onnx, options)
    )
    network, _parser = _parse(trt, builder, logger, spec, onnx, requested.strongly_typed)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    # TF32 would round FP32 networks to ten bits, so that results would differ from those that were evaluated.
    config.clear_flag(trt.BuilderFlag.TF32)
    for name in (*requested.flags, *(("VERSION_COMPATIBLE",) if options.version_compatible else ())):
        config.set_flag(getattr(trt.BuilderFlag, name))
    _add_profile(builder, config, spec, options)
    monitor = _monitor(trt, spec.name, progress)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor.cancelled:
        raise BuildCancelledError(f"network '{spec.name}': the build was cancelled")
    if plan is None:
        raise EngineBuildError(f"TensorRT {trt.__version__} cannot compile network '{spec.name}': see its log above")
    return bytes(plan)


def _add_profile(builder: Any, config: Any, spec: NetworkSpec, options: BackendOptions) -> None:
    shapes = profile_shapes(spec, options)
    if not shapes:
        return
    profile = builder.create_optimization_profile()
    for name, (smallest, usual, largest) in shapes.items():
        profile.set_shape(name, smallest, usual, largest)
    if config.add_optimization_profile(profile) < 0:
        raise EngineBuildError(f"TensorRT refuses the batches {shapes} of network '{spec.name}'")


def _is_quantised(trt: Any, builder: Any, logger: Any, spec: NetworkSpec, onnx: bytes, options: BackendOptions) -> bool:
    """Return whether the file is quantised; raise PrecisionError if it lacks the requested precision."""
    network, _parser = _parse(trt, builder, logger, spec, onnx, True)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    quantised = any(layer.type == trt.LayerType.QUANTIZE for layer in layers)
    if options.precision == "int8" and not quantised:
        raise PrecisionError(
            f"network '{spec.name}' is not quantised (no Q/DQ operators): use an INT8 variant of the model, "
            "or precision: exported"
        )
    half = any(layer.get_output(0).dtype == trt.DataType.HALF for layer in layers if layer.num_outputs)
    if options.precision == "fp16" and not half and int(trt.__version__.split(".")[0]) >= 11:
        raise PrecisionError(
            f"TensorRT {trt.__version__} computes only in the types of the file, and network '{spec.name}' has no "
            "half-precision tensor: use an FP16 variant of the model, TensorRT 10, or precision: exported"
        )
    return quantised


def _parse(
    trt: Any, builder: Any, logger: Any, spec: NetworkSpec, onnx: bytes, strongly_typed: bool
) -> tuple[Any, Any]:
    """Return network and parser; the parser owns the weights and must be kept during the build."""
    flag = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    network = builder.create_network(1 << int(flag) if strongly_typed else 0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        causes = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineBuildError(f"TensorRT {trt.__version__} cannot read network '{spec.name}': {causes}")
    return network, parser


def _monitor(trt: Any, network: str, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Reports TensorRT's progress; called from threads of TensorRT."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancelled = False
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            share = (step + 1) / max(self._steps.get(phase_name, 1), 1)
            if not progress(f"{network}: {phase_name}", share):
                self.cancelled = True
            return not self.cancelled

    return Monitor()
