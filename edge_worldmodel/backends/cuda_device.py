"""The parts of CUDA that running an engine needs, through pycuda if it is installed, else through cuda-bindings.

pycuda is built from source (usual on JetPack); cuda-bindings has wheels. Both give page-locked host memory, device
memory, a stream and CUDA graphs.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import BackendError

Host = NDArray[np.float32]


class CudaError(BackendError):
    """CUDA is not installed, has no device, or a call failed."""


class CudaDevice(Protocol):
    """Memory, copies and graphs of one GPU, all on one stream."""

    stream: int
    """Handle of the stream, for TensorRT."""

    def identity(self) -> str:
        """Return a name of the GPU model; engines run only on the model that they were built for."""
        ...

    def describe(self) -> str:
        """Describe the GPU and the library that is used."""
        ...

    def active(self) -> Any:
        """Return a context manager inside which the calling thread may use the device."""
        ...

    def pinned(self, shape: tuple[int, ...]) -> Host:
        """Return page-locked host memory, which asynchronous copies need."""
        ...

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new device memory, which is kept as long as this object."""
        ...

    def upload(self, address: int, source: Host) -> None:
        """Enqueue a copy to the device; ``source`` is contiguous and page-locked."""
        ...

    def download(self, target: Host, address: int) -> None:
        """Enqueue a copy from the device; ``target`` is contiguous and page-locked."""
        ...

    def wait(self) -> None:
        """Wait until the stream is empty."""
        ...

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Record the work that ``enqueue`` puts on the stream as a graph; return a function that launches it."""
        ...


def open_cuda_device() -> CudaDevice:
    """Return the first GPU.

    Raises:
        CudaError: neither library is installed, or no GPU works.
    """
    for module, opener in (("pycuda.driver", PyCudaDevice), ("cuda.bindings.runtime", CudaBindingsDevice)):
        try:
            library = importlib.import_module(module)
        except ImportError:
            continue
        return opener(library)
    raise CudaError("backend 'tensorrt' needs CUDA for Python: pip install cuda-bindings, or build pycuda on a Jetson")


class CudaBindingsDevice:
    """CUDA's runtime library through cuda-bindings."""

    def __init__(self, cudart: Any) -> None:
        """Use the first GPU and create the stream."""
        self._cudart = cudart
        if self._call("cudaGetDeviceCount") < 1:
            raise CudaError("CUDA finds no GPU: check nvidia-smi, or use backend: onnxruntime")
        self._call("cudaSetDevice", 0)
        # A non-blocking stream does not wait for the default stream, which other libraries may use.
        self._stream = self._call("cudaStreamCreateWithFlags", cudart.cudaStreamNonBlocking)
        self.stream = int(self._stream)

    def identity(self) -> str:
        """Return model, compute capability and number of multiprocessors."""
        found = self._call("cudaGetDeviceProperties", 0)
        name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
        return f"{name} sm{found.major}{found.minor} x{found.multiProcessorCount}"

    def describe(self) -> str:
        """Describe the GPU and the library that is used."""
        return f"{self.identity()} through cuda-bindings"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Choose the GPU for this thread."""
        self._call("cudaSetDevice", 0)
        yield

    def pinned(self, shape: tuple[int, ...]) -> Host:
        """Return page-locked host memory; it is never freed, because it is allocated once per model."""
        size = int(np.prod(shape)) * np.dtype(np.float32).itemsize
        address = int(self._call("cudaHostAlloc", size, self._cudart.cudaHostAllocDefault))
        memory = (ctypes.c_byte * size).from_address(address)
        return np.frombuffer(memory, np.float32).reshape(shape)

    def allocate(self, size_bytes: int) -> int:
        """Return the address of device memory."""
        return int(self._call("cudaMalloc", size_bytes))

    def upload(self, address: int, source: Host) -> None:
        """Enqueue a copy to the device."""
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, source.ctypes.data, source.nbytes, kind, self._stream)

    def download(self, target: Host, address: int) -> None:
        """Enqueue a copy from the device."""
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.ctypes.data, address, target.nbytes, kind, self._stream)

    def wait(self) -> None:
        """Wait until the stream is empty."""
        self._call("cudaStreamSynchronize", self._stream)

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Record a graph; other threads may use CUDA meanwhile."""
        mode = self._cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)
        try:
            enqueue()
        # Also after an error, because a stream that is being recorded cannot be used.
        finally:
            graph = self._call("cudaStreamEndCapture", self._stream)
        executable = self._call("cudaGraphInstantiate", graph, 0)
        return lambda: self._call("cudaGraphLaunch", executable, self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the library, which returns (error, results...)."""
        error, *results = getattr(self._cudart, name)(*arguments)
        if int(error) != 0:
            raise CudaError(f"CUDA refused {name}: {error.name} ({int(error)}); run edge-worldmodel doctor")
        return results[0] if results else None


class PyCudaDevice:
    """CUDA through pycuda, and graphs through the driver library, because pycuda has none."""

    def __init__(self, driver: Any) -> None:
        """Use the first GPU's primary context, as TensorRT does, and create the stream."""
        self._driver = driver
        try:
            driver.init()
            self._device = driver.Device(0)
            self._context = self._device.retain_primary_context()
        except driver.Error as error:
            raise CudaError(f"CUDA finds no GPU ({error}): check nvidia-smi, or use backend: onnxruntime") from error
        self._graphs = ctypes.CDLL("libcuda.so.1")
        self._memory: list[Any] = []
        with self.active():
            self._stream = driver.Stream()
        self.stream = int(self._stream.handle)

    def identity(self) -> str:
        """Return model, compute capability and number of multiprocessors."""
        major, minor = self._device.compute_capability()
        count = self._device.get_attribute(self._driver.device_attribute.MULTIPROCESSOR_COUNT)
        return f"{self._device.name()} sm{major}{minor} x{count}"

    def describe(self) -> str:
        """Describe the GPU and the library that is used."""
        return f"{self.identity()} through pycuda"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the context current in the calling thread."""
        self._context.push()
        try:
            yield
        except self._driver.Error as error:
            raise CudaError(f"CUDA failed: {error}; run edge-worldmodel doctor") from error
        finally:
            self._context.pop()

    def pinned(self, shape: tuple[int, ...]) -> Host:
        """Return page-locked host memory."""
        memory: Host = self._driver.pagelocked_empty(shape, np.float32)
        return memory

    def allocate(self, size_bytes: int) -> int:
        """Return the address of device memory."""
        self._memory.append(self._driver.mem_alloc(size_bytes))
        return int(self._memory[-1])

    def upload(self, address: int, source: Host) -> None:
        """Enqueue a copy to the device."""
        self._driver.memcpy_htod_async(address, source, self._stream)

    def download(self, target: Host, address: int) -> None:
        """Enqueue a copy from the device."""
        self._driver.memcpy_dtoh_async(target, address, self._stream)

    def wait(self) -> None:
        """Wait until the stream is empty."""
        self._stream.synchronize()

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Record a graph; other threads may use CUDA meanwhile."""
        stream, graph, executable = (ctypes.c_void_p(handle) for handle in (self.stream, None, None))
        thread_local = ctypes.c_int(1)
        self._call("cuStreamBeginCapture_v2", stream, thread_local)
        try:
            enqueue()
        # Also after an error, because a stream that is being recorded cannot be used.
        finally:
            self._call("cuStreamEndCapture", stream, ctypes.byref(graph))
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        return lambda: self._call("cuGraphLaunch", executable, stream)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._graphs, name)(*arguments)
        if status != 0:
            raise CudaError(f"CUDA refused {name}: error {status}; run edge-worldmodel doctor")
