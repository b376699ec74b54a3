"""Stand-ins for TensorRT that let nothing through that the real classes do not have, for machines without a GPU.

Every attribute that our code touches must exist in NVIDIA's own bindings, and every call must fit the signature that
they document. What the stand-ins then do is computed by ONNX Runtime on the memory whose addresses they were given.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

PLAN = b"PLAN"
_SIGNATURE = r"^(?:\d+\. )?{name}\((.*)\) ->"


def bindings(kind: str, folder: Path) -> Any:
    """Return NVIDIA's bindings: ``lean``, or ``full`` with the builder.

    A test of all versions: unpack the wheels of another version (tensorrt-cu12-bindings, tensorrt-lean-cu12-bindings)
    and put the folder in front with PYTHONPATH.
    """
    extension = {"lean": "tensorrt_lean", "full": "tensorrt"}[kind]
    for name in (extension, f"{extension}_bindings"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    found = importlib.util.find_spec(f"{extension}_bindings")
    if found is None or not found.origin:
        pytest.skip(f"neither {extension} nor its bindings are installed: pip install -r requirements/develop.txt")
    _load_empty_libraries(Path(found.origin).with_name(f"{extension}.so"), folder)
    return importlib.import_module(f"{extension}_bindings")


def _load_empty_libraries(extension: Path, folder: Path) -> None:
    """Load libraries that only have the names which the bindings link to: 2 GB less than the real ones."""
    if not shutil.which("gcc") or not shutil.which("nm"):
        pytest.skip("gcc and nm are needed to stand in for TensorRT's libraries")
    names = sorted(
        set(re.findall(rb"lib(?:nvinfer|nvinfer_plugin|nvinfer_lean|nvonnxparser)\.so\.\d+", extension.read_bytes()))
    )
    symbols = subprocess.run(["nm", "-D", "--undefined-only", extension], capture_output=True, text=True, check=True)
    wanted = [line.split()[1] for line in symbols.stdout.splitlines() if "@" not in line and line.split()[0] == "U"]
    code = "".join(f"int {name}(void) {{ return 0; }}\n" for name in wanted if not name.startswith(("Py", "_Py")))
    for number, name in enumerate(names):
        target = folder / name.decode()
        source = target.with_suffix(".c")
        source.write_text("" if number else code)
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{name.decode()}", "-o", target, source], check=True
        )
        ctypes.CDLL(str(target), mode=ctypes.RTLD_GLOBAL)


class Module:
    """The real module, but for what is set on it here."""

    def __init__(self, trt: Any, device: HostDevice, version: str | None) -> None:
        self._trt = trt
        self._device = device
        self.__version__ = version or trt.__version__
        self.__name__ = trt.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trt, name)


class StandIn:
    """Has only what the real class has, and takes only the arguments that it takes."""

    _real_name: str

    def __init__(self, module: Module) -> None:
        self._module = module
        self._real = getattr(module._trt, self._real_name)

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name.startswith("_"):
            return value
        assert hasattr(self._real, name), f"{self._real_name} has no {name}"
        return _checked(self._real, name, value) if callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        assert name.startswith("_") or hasattr(self._real, name), f"{self._real_name} has no {name}"
        object.__setattr__(self, name, value)


def _checked(real: type, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        check_arity(real, name, len(arguments))
        return method(*arguments)

    return call


def check_arity(real: type, name: str, count: int) -> None:
    """Fail unless a documented signature of the method takes ``count`` arguments."""
    documented = getattr(real, name).__doc__ or ""
    signatures = re.findall(_SIGNATURE.format(name=name), documented, re.MULTILINE)
    assert signatures, f"{real.__name__}.{name} documents no signature"
    ranges = []
    for signature in signatures:
        # The first is self; a default ends the ones that must be given.
        parameters = re.split(r",\s*(?=\w+: |\*)", signature)[1:]
        ranges.append((sum("=" not in p for p in parameters), len(parameters)))
    assert any(least <= count <= most for least, most in ranges), f"{real.__name__}.{name}: {count} not in {ranges}"


class HostDevice:
    """A CudaDevice whose device memory is host memory; graphs are recorded and replayed like the real ones."""

    stream = 4711

    def __init__(self, can_capture: bool = True) -> None:
        self.log: list[str] = []
        self._recording: list[Callable[[], None]] | None = None
        self._memory: list[np.ndarray] = []
        self._can_capture = can_capture
        self._entered = 0

    def identity(self) -> str:
        return "Test GPU sm87 x8"

    def describe(self) -> str:
        return "Test GPU"

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        self._entered += 1
        yield
        self._entered -= 1

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        assert self._entered
        self.log.append("pinned")
        return np.full(shape, np.nan, np.float32)

    def allocate(self, size_bytes: int) -> int:
        assert self._entered
        self._memory.append(np.full(size_bytes, 255, np.uint8))
        return int(self._memory[-1].ctypes.data)

    def upload(self, address: int, source: np.ndarray) -> None:
        assert source.flags.c_contiguous
        self.do("upload", lambda: ctypes.memmove(address, source.ctypes.data, source.nbytes))

    def download(self, target: np.ndarray, address: int) -> None:
        assert target.flags.c_contiguous
        self.do("download", lambda: ctypes.memmove(target.ctypes.data, address, target.nbytes))

    def wait(self) -> None:
        self.log.append("wait")

    def do(self, what: str, action: Callable[[], Any]) -> None:
        """Put work on the stream."""
        assert self._entered
        self.log.append(what)
        if self._recording is None:
            action()
        else:
            self._recording.append(action)

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        from edge_worldmodel.backends.cuda_device import CudaError

        self._recording = []
        try:
            enqueue()
        finally:
            recorded, self._recording = self._recording, None
        if not self._can_capture:
            raise CudaError("operation not permitted when stream is capturing")

        def launch() -> None:
            self.log.append("launch")
            for action in recorded:
                action()

        return launch


class Context(StandIn):
    """Computes with ONNX Runtime on the memory that it was given the addresses of."""

    _real_name = "IExecutionContext"

    def __init__(self, module: Module, session: Any) -> None:
        super().__init__(module)
        self._session = session
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        return profile_index == 0 and stream_handle == self._module._device.stream

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return name in {tensor.name for tensor in self._session.get_inputs()}

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def infer_shapes(self) -> list[str]:
        return [tensor.name for tensor in self._session.get_inputs() if tensor.name not in self._shapes]

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == self._module._device.stream
        self._module._device.do("execute", self._compute)
        return True

    def _compute(self) -> None:
        inputs = {name: self._array(name, shape) for name, shape in self._shapes.items()}
        names = [tensor.name for tensor in self._session.get_outputs()]
        for name, value in zip(names, self._session.run(names, inputs), strict=True):
            ctypes.memmove(self._addresses[name], value.ctypes.data, value.nbytes)

    def _array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(self._addresses[name])
        return np.frombuffer(memory, np.float32).reshape(shape)


class Engine(StandIn):
    """A network that says of itself what an engine says."""

    _real_name = "ICudaEngine"

    def __init__(self, module: Module, onnx_bytes: bytes) -> None:
        super().__init__(module)
        self._session = onnxruntime.InferenceSession(onnx_bytes)
        self._inputs = {tensor.name: tensor for tensor in self._session.get_inputs()}
        self._tensors = self._inputs | {tensor.name: tensor for tensor in self._session.get_outputs()}
        self.num_io_tensors = len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self._tensors[name].shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return self._module.DataType.FLOAT

    def get_tensor_mode(self, name: str) -> Any:
        return self._module.TensorIOMode.INPUT if name in self._inputs else self._module.TensorIOMode.OUTPUT

    def create_execution_context(self) -> Context:
        return Context(self._module, self._session)


class Runtime(StandIn):
    """Takes what the builder's stand-in made."""

    _real_name = "Runtime"

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        whole = serialized_engine.startswith(PLAN)
        return Engine(self._module, serialized_engine[len(PLAN) :]) if whole else None


def stand_in_for(trt: Any, device: HostDevice, version: str | None = None) -> Any:
    """Return a module that behaves like ``trt`` would with a GPU; ``builds`` tells what each build was asked for."""
    module = Module(trt, device, version)
    module.Runtime = constructor(module, Runtime)
    if hasattr(trt, "Builder"):
        from .tensorrt_builder_api import add_builder

        add_builder(module)
    return module


def constructor(module: Module, stand_in: type[StandIn]) -> Callable[..., StandIn]:
    """Return what makes a stand-in from the arguments of the real constructor, loggers left aside."""

    def make(*arguments: Any) -> StandIn:
        check_arity(getattr(module._trt, stand_in._real_name), "__init__", len(arguments))
        return stand_in(module, *arguments[:-1])

    return make


def onnx_nodes(onnx_bytes: bytes) -> list[str]:
    """Return the operators of a network."""
    return [node.op_type for node in onnx.load_model_from_string(onnx_bytes).graph.node]
