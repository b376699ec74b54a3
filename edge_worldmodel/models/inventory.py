"""Describes this machine from its own files and tools; changes nothing, and leaves empty what cannot be read."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import edge_worldmodel

Run = Callable[[list[str]], str]
"""Runs a command and returns its output; empty when it does not exist or fails."""

PACKAGES = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn", "openvino", "tensorrt",
    "tensorrt-lean", "cuda-bindings", "pycuda", "opencv-python", "opencv-python-headless", "sqlite-vec", "apsw",
)  # fmt: skip
"""Python packages whose versions must fit each other."""
_MODULES = {
    "numpy": "numpy", "onnxruntime": "onnxruntime", "onnxruntime-gpu": "onnxruntime", "openvino": "openvino",
    "tensorrt": "tensorrt", "cuda-bindings": "cuda.bindings.runtime", "pycuda": "pycuda.driver",
    "opencv-python": "cv2", "opencv-python-headless": "cv2",
}  # fmt: skip


@dataclass(frozen=True)
class ThermalZone:
    """One thermal sensor."""

    name: str
    celsius: float
    limit_celsius: float | None


@dataclass(frozen=True)
class Inventory:
    """One machine at one moment. Empty, 0 or None: could not be read."""

    cpu: str = ""
    architecture: str = ""
    cores: int = 0
    quota_cores: float | None = None
    cpu_features: tuple[str, ...] = ()
    load: float = 0.0
    memory_mb: int = 0
    available_mb: int = 0
    limit_mb: int | None = None
    swap_used_mb: int = 0
    disk_free_mb: int = 0
    board: str = ""
    l4t: str = ""
    gpus: tuple[str, ...] = ()
    driver: str = ""
    driver_cuda: str = ""
    toolkit_cuda: str = ""
    governors: tuple[str, ...] = ()
    power_mode: str = ""
    throttled: str = ""
    zones: tuple[ThermalZone, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    ros_installations: tuple[str, ...] = ()
    receive_buffer_bytes: int = 0
    broken: Mapping[str, str] = field(default_factory=dict)


def run_command(command: list[str]) -> str:
    """Run a command for at most ten seconds."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""


def take_inventory(
    environment: Mapping[str, str], python: str, architecture: str, run: Run = run_command, root: Path = Path("/")
) -> Inventory:
    """Read everything that describes the machine.

    Args:
        environment: variables of this process; those about ROS and DDS are kept.
        python: version of Python.
        architecture: of the machine, such as x86_64.
        run: runs a command.
        root: root of the file system to read.
    """
    read = _Reader(root)
    smi = run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).strip().splitlines()
    memory = {
        name: int(kb) // 1024 for name, kb in re.findall(r"^(\w+):\s+(\d+) kB", read("proc/meminfo"), re.MULTILINE)
    }
    board = read("proc/device-tree/model") or read("sys/class/dmi/id/product_name")
    return Inventory(
        cpu=_cpu_name(read("proc/cpuinfo")),
        architecture=architecture,
        cores=len(re.findall(r"^processor\s*:", read("proc/cpuinfo"), re.MULTILINE)),
        quota_cores=_quota(read("sys/fs/cgroup/cpu.max")),
        cpu_features=_features(read("proc/cpuinfo")),
        load=float((read("proc/loadavg") or "0").split()[0]),
        memory_mb=memory.get("MemTotal", 0),
        available_mb=memory.get("MemAvailable", 0),
        limit_mb=_limit_mb(read("sys/fs/cgroup/memory.max")),
        swap_used_mb=memory.get("SwapTotal", 0) - memory.get("SwapFree", 0),
        disk_free_mb=shutil.disk_usage(root).free >> 20,
        board=board,
        l4t=_l4t(read("etc/nv_tegra_release")),
        gpus=tuple(line.split(",")[0].strip() for line in smi) or (("Jetson GPU",) if _is_jetson(board) else ()),
        driver=smi[0].split(",")[-1].strip() if smi else "",
        driver_cuda="".join(re.findall(r"CUDA Version: ([\d.]+)", run(["nvidia-smi"]))[:1]),
        toolkit_cuda="".join(re.findall(r"release ([\d.]+)", run(["nvcc", "--version"]))[:1]),
        governors=tuple(
            sorted({read.path(path) for path in read.all("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")})
        ),
        power_mode="".join(re.findall(r"NV Power Mode: (\S+)", run(["nvpmodel", "-q"]))[:1]),
        throttled="".join(re.findall(r"throttled=(\S+)", run(["vcgencmd", "get_throttled"]))[:1]),
        zones=_zones(read),
        packages=_versions(),
        python=python,
        environment={k: v for k, v in environment.items() if k.startswith(_ROS_VARIABLES)},
        ros_installations=tuple(path.name for path in read.all("opt/ros/*") if (path / "setup.bash").exists()),
        receive_buffer_bytes=int(read("proc/sys/net/core/rmem_max") or 0),
    )


_ROS_VARIABLES = ("ROS_", "RMW_", "FASTRTPS_", "FASTDDS_", "CYCLONEDDS_", "AMENT_PREFIX_PATH")


class _Reader:
    """Reads small files below a root; returns an empty text if that fails."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(self, name: str) -> str:
        return self.path(self._root / name)

    def path(self, path: Path) -> str:
        try:
            return path.read_text(errors="replace").strip("\0 \n")
        except OSError:
            return ""

    def all(self, pattern: str) -> list[Path]:
        return sorted(self._root.glob(pattern))


def _cpu_name(cpuinfo: str) -> str:
    found = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _features(cpuinfo: str) -> tuple[str, ...]:
    """Return the instruction sets that make networks fast: vectors, and products of bytes (VNNI, Arm dot product)."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    words = set(found.group(1).split()) if found else set()
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "asimdhp")
    return tuple(word for word in wanted if word in words)


def _quota(cpu_max: str) -> float | None:
    found = re.fullmatch(r"(\d+) (\d+)", cpu_max)
    return int(found.group(1)) / int(found.group(2)) if found else None


def _limit_mb(memory_max: str) -> int | None:
    return int(memory_max) >> 20 if memory_max.isdigit() else None


def _is_jetson(board: str) -> bool:
    return "jetson" in board.lower() or "nvidia" in board.lower()


def _l4t(release: str) -> str:
    found = re.search(r"R(\d+) .*REVISION: ([\d.]+)", release)
    return f"{found.group(1)}.{found.group(2)}" if found else ""


def _zones(read: _Reader) -> tuple[ThermalZone, ...]:
    zones = []
    for folder in read.all("sys/class/thermal/thermal_zone*"):
        now = read.path(folder / "temp")
        # Sensors that are off give nothing, or a constant below zero.
        if re.fullmatch(r"\d+", now) and int(now) > 0:
            trips = [read.path(path) for path in sorted(folder.glob("trip_point_*_temp"))]
            limits = [int(trip) / 1000.0 for trip in trips if re.fullmatch(r"\d+", trip) and int(trip) > 0]
            zones.append(ThermalZone(read.path(folder / "type"), int(now) / 1000.0, min(limits, default=None)))
    return tuple(zones)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def broken_imports(packages: Mapping[str, str], ros: bool) -> dict[str, str]:
    """Import each package in a new process; return the last line of the error by module, for those that fail."""
    modules = [module for package, module in _MODULES.items() if package in packages] + (["rclpy"] if ros else [])
    broken = {}
    for module in modules:
        # Importing openvino would start a process that reports to an analytics server.
        program = f"import sys; sys.modules['openvino_telemetry'] = None; import {module}"
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        if result.returncode != 0:
            broken[module] = (result.stderr.strip().splitlines() or [f"ended with {result.returncode}"])[-1]
    return broken


def device_name(found: Inventory) -> str:
    """Return a name of the machine made of what measured times depend on."""
    return ", ".join(
        part for part in (found.cpu, f"{found.cores} cores", found.architecture, found.board, *found.gpus) if part
    )


def commit() -> str:
    """Return the commit of this package's sources, '-dirty' added when they were changed; '' outside of git."""
    folder = Path(edge_worldmodel.__file__).resolve().parent
    try:
        git = ["git", "-C", str(folder)]
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")


def committed() -> str:
    """Return the date of the commit of this package's sources as ISO 8601; '' outside of git."""
    folder = Path(edge_worldmodel.__file__).resolve().parent
    return run_command(["git", "-C", str(folder), "show", "--no-patch", "--format=%cI", "HEAD"]).strip()
