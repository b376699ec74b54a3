"""The device layer calls what cuda-bindings has, in the way it takes it; and says what is missing."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_worldmodel.backends import cuda_device
from edge_worldmodel.backends.cuda_device import CudaBindingsDevice, CudaError, open_cuda_device


class Status(int):
    """An error code with a name."""

    name = "cudaErrorMemoryAllocation"


class CheckedRuntime:
    """Stands for cuda.bindings.runtime; every call must fit the real function's signature."""

    def __init__(self, fails: str = "") -> None:
        self.real = pytest.importorskip("cuda.bindings.runtime", reason="pip install -r requirements/develop.txt")
        self.calls: list[str] = []
        self.fails = fails
        self.memory: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.real, name)
        if not callable(real) or inspect.isclass(real):
            return real

        def call(*arguments: Any) -> tuple[Any, ...]:
            inspect.signature(real).bind(*arguments)
            self.calls.append(name)
            return (Status(2),) if name == self.fails else (Status(0), *self.answer(name, arguments))

        return call

    def answer(self, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        properties = SimpleNamespace(name=b"Orin", major=8, minor=7, multiProcessorCount=8)
        if name in ("cudaHostAlloc", "cudaMalloc"):
            self.memory.append(np.zeros(arguments[0], np.uint8))
            return (self.memory[-1].ctypes.data,)
        results = {"cudaGetDeviceCount": 1, "cudaStreamCreateWithFlags": 77, "cudaGetDeviceProperties": properties}
        results |= {"cudaStreamEndCapture": "graph", "cudaGraphInstantiate": "executable"}
        return (results[name],) if name in results else ()


def test_every_call_fits_cuda_bindings() -> None:
    runtime = CheckedRuntime()
    device = CudaBindingsDevice(runtime)
    assert device.stream == 77 and device.identity() == "Orin sm87 x8" and "cuda-bindings" in device.describe()
    with device.active():
        host = device.pinned((2, 3))
        host[:] = 1.0
        address = device.allocate(host.nbytes)
        launch = device.capture(lambda: device.upload(address, host))
        launch()
        device.download(host, address)
        device.wait()
    used = ["cudaHostAlloc", "cudaMalloc", "cudaStreamBeginCapture", "cudaMemcpyAsync", "cudaStreamEndCapture"]
    used += ["cudaGraphInstantiate", "cudaGraphLaunch", "cudaMemcpyAsync", "cudaStreamSynchronize"]
    assert runtime.calls[-len(used) :] == used
    assert runtime.memory[0].view(np.float32).tolist() == [1.0] * 6


@pytest.mark.parametrize("function", ["cudaGetDeviceCount", "cudaStreamCreateWithFlags", "cudaSetDevice"])
def test_a_refused_call_is_named(function: str) -> None:
    with pytest.raises(CudaError, match=rf"CUDA refused {function}: cudaErrorMemoryAllocation \(2\); run edge-worldm"):
        CudaBindingsDevice(CheckedRuntime(fails=function))


def test_a_failed_capture_ends_the_capture() -> None:
    runtime = CheckedRuntime()
    device = CudaBindingsDevice(runtime)
    with pytest.raises(ValueError, match="kernel"):
        device.capture(lambda: (_ for _ in ()).throw(ValueError("kernel")))
    assert runtime.calls[-1] == "cudaStreamEndCapture"


def test_without_a_gpu_the_real_library_says_why() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="pip install -r requirements/develop.txt")
    if int(runtime.cudaGetDeviceCount()[0]) == 0:
        pytest.skip("this machine has a GPU")
    with pytest.raises(CudaError, match="CUDA refused cudaGetDeviceCount: cudaError"):
        open_cuda_device()


def test_without_any_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(cuda_device.importlib, "import_module", missing)
    with pytest.raises(CudaError, match="pip install cuda-bindings, or build pycuda"):
        open_cuda_device()


def test_pycuda_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Error(Exception):
        pass

    def no_gpu() -> None:
        raise Error("no CUDA-capable device is detected")

    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "pycuda.driver", SimpleNamespace(init=no_gpu, Error=Error))
    assert importlib.import_module("pycuda.driver").init is no_gpu
    with pytest.raises(CudaError, match="finds no GPU .no CUDA-capable device is detected"):
        open_cuda_device()
