"""The rules of `edge-worldmodel doctor`: what to know about a machine, and what to fix, from its inventory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_worldmodel.models.inventory import Inventory

ERROR, WARNING, NOTE, FINE = "error", "warning", "note", "fine"
_NEEDED_MB = 400
"""Memory that perception, planner, cache and supervisor need together, with a reserve (docs/runtime.md)."""
_ROS = ("jazzy", "kilted")
_JETPACK_WITH_TENSORRT_10 = (36, 4)
_HOT_CELSIUS, _TOO_HOT_CELSIUS = 80.0, 95.0
_SCAN_BUFFER_BYTES = 2 << 20


@dataclass(frozen=True)
class DoctorFinding:
    """One fact, its level, and what to do about it."""

    level: str
    topic: str
    text: str
    remedy: str = ""


def examine(found: Inventory) -> list[DoctorFinding]:
    """Return the findings of all rules."""
    return [
        finding
        for rule in (_cpu, _memory, _accelerator, _jetson, _packages, _broken, _cuda, _power, _heat, _ros, _dds)
        for finding in rule(found)
    ]


def _cpu(found: Inventory) -> Iterator[DoctorFinding]:
    features = ", ".join(found.cpu_features) or "no known vector instructions"
    yield DoctorFinding(
        FINE, "cpu", f"{found.cpu or 'unknown processor'}, {found.cores} cores ({found.architecture}; {features})"
    )
    if found.cores < 2:
        yield DoctorFinding(
            WARNING, "cpu", "one core for networks, planner and supervisor", "set threads: 1 and use fewer futures"
        )
    if found.quota_cores is not None and found.quota_cores < found.cores:
        yield DoctorFinding(
            WARNING, "cpu", f"this container may use {found.quota_cores:g} of {found.cores} cores",
            f"set threads: {max(int(found.quota_cores), 1)}, or give the container more (docker --cpus)",
        )  # fmt: skip
    if found.load > found.cores:
        yield DoctorFinding(
            WARNING,
            "cpu",
            f"{found.load:.1f} processes want the {found.cores} cores",
            "look at top, and end programs that are not needed",
        )
    if not {"avx2", "asimd"} & set(found.cpu_features):
        yield DoctorFinding(WARNING, "cpu", "neither AVX2 nor NEON: networks will be slow", "run edge-worldmodel place")


def _memory(found: Inventory) -> Iterator[DoctorFinding]:
    limit = found.limit_mb if found.limit_mb is not None and found.limit_mb < found.memory_mb else None
    text = f"{found.available_mb} of {found.memory_mb} MB free" + (f", {limit} MB for this container" if limit else "")
    yield DoctorFinding(FINE, "memory", text)
    if min(found.available_mb, limit or found.available_mb) < _NEEDED_MB:
        yield DoctorFinding(
            ERROR, "memory", f"less than {_NEEDED_MB} MB for the graph", "end other programs, or add memory"
        )
    if found.swap_used_mb > 100:
        yield DoctorFinding(
            WARNING, "memory", f"{found.swap_used_mb} MB are swapped out; a tick that waits for them is late",
            "end programs that are not needed; on the robot: sudo swapoff -a",
        )  # fmt: skip
    if found.disk_free_mb < 500:
        yield DoctorFinding(
            WARNING, "disk", f"{found.disk_free_mb} MB free", "free some: recordings, scenes and engines need it"
        )


def _accelerator(found: Inventory) -> Iterator[DoctorFinding]:
    if not found.gpus:
        yield DoctorFinding(FINE, "accelerator", "none found; networks run on the CPU")
        return
    yield DoctorFinding(
        FINE, "accelerator", f"{', '.join(found.gpus)}{f', driver {found.driver}' if found.driver else ''}"
    )
    if not {"tensorrt", "tensorrt-lean", "onnxruntime-gpu"} & set(found.packages):
        yield DoctorFinding(
            WARNING, "accelerator", "the GPU is not used: neither TensorRT nor ONNX Runtime for GPUs is installed",
            "on a Jetson: sudo apt install python3-libnvinfer; elsewhere: pip install 'edge_worldmodel[tensorrt]'",
        )  # fmt: skip


def _jetson(found: Inventory) -> Iterator[DoctorFinding]:
    if not found.l4t:
        return
    yield DoctorFinding(FINE, "jetpack", f"{found.board}, L4T {found.l4t}")
    if _numbers(found.l4t)[:2] < _JETPACK_WITH_TENSORRT_10:
        yield DoctorFinding(
            ERROR, "jetpack", f"L4T {found.l4t} comes with TensorRT 8; backend tensorrt needs 10.3",
            "upgrade to JetPack 6.1 or newer, or use backend: onnxruntime",
        )  # fmt: skip


def _packages(found: Inventory) -> Iterator[DoctorFinding]:
    have = found.packages
    yield DoctorFinding(
        FINE, "python", f"{found.python}; " + ", ".join(f"{name} {version}" for name, version in have.items())
    )
    runtimes = [name for name in have if name.startswith("onnxruntime")]
    if not runtimes:
        yield DoctorFinding(ERROR, "python", "ONNX Runtime is not installed", "pip install onnxruntime")
    if len(runtimes) > 1:
        yield DoctorFinding(
            ERROR, "python", f"{' and '.join(runtimes)} overwrite each other's files",
            f"pip uninstall -y {' '.join(runtimes)}, then install one of them",
        )  # fmt: skip
    if {"opencv-python", "opencv-python-headless"} <= set(have):
        yield DoctorFinding(
            WARNING, "python", "two OpenCVs overwrite each other's files", "pip uninstall opencv-python"
        )
    if _major(have.get("numpy", "")) >= 2 and found.ros_installations and "AMENT_PREFIX_PATH" in found.environment:
        yield DoctorFinding(
            ERROR, "python", f"numpy {have['numpy']} hides the numpy 1 that ROS in /opt/ros was compiled against",
            "pip install 'numpy<2' in this environment",
        )  # fmt: skip
    if "tensorrt" in have and _numbers(have["tensorrt"])[:2] < (10, 3):
        yield DoctorFinding(
            ERROR, "python", f"TensorRT {have['tensorrt']} is too old", "this program needs 10.3 or newer"
        )


def _broken(found: Inventory) -> Iterator[DoctorFinding]:
    for module, cause in found.broken.items():
        remedy = "install it again in this environment"
        if "numpy" in cause.lower():
            remedy = "it was compiled against another numpy: pip install 'numpy<2', or a newer build of it"
        elif ".so" in cause:
            remedy = "a system library is missing: install it, or source the setup file that adds it"
        yield DoctorFinding(ERROR, "python", f"{module} is installed and cannot be imported: {cause}", remedy)


def _cuda(found: Inventory) -> Iterator[DoctorFinding]:
    driver, bindings = _major(found.driver_cuda), _major(found.packages.get("cuda-bindings", ""))
    if found.gpus and found.driver_cuda and bindings > driver:
        yield DoctorFinding(
            ERROR, "cuda", f"cuda-bindings {found.packages['cuda-bindings']} needs a driver for CUDA {bindings}, "
            f"this one supports {found.driver_cuda}", f"pip install 'cuda-bindings<{driver + 1}', or update the driver",
        )  # fmt: skip
    if found.gpus and not {"cuda-bindings", "pycuda"} & set(found.packages) and "tensorrt" in found.packages:
        yield DoctorFinding(ERROR, "cuda", "TensorRT is installed, but no CUDA for Python", "pip install cuda-bindings")
    if found.toolkit_cuda and found.driver_cuda and _numbers(found.toolkit_cuda) > _numbers(found.driver_cuda):
        yield DoctorFinding(
            WARNING, "cuda", f"the toolkit is for CUDA {found.toolkit_cuda}, the driver supports {found.driver_cuda}",
            "update the driver",
        )  # fmt: skip


def _power(found: Inventory) -> Iterator[DoctorFinding]:
    slow = sorted({"powersave", "conservative"} & set(found.governors))
    if slow:
        yield DoctorFinding(
            WARNING, "power", f"the CPU governor is {slow[0]}: it makes ticks slower than necessary",
            "sudo cpupower frequency-set -g performance",
        )  # fmt: skip
    if found.power_mode and not found.power_mode.startswith("MAXN"):
        yield DoctorFinding(
            NOTE, "power", f"power mode {found.power_mode}", "sudo nvpmodel -m 0, if the battery allows it"
        )
    if found.throttled not in ("", "0x0"):
        yield DoctorFinding(
            ERROR if int(found.throttled, 16) & 0xF else WARNING, "power",
            f"the board throttles or has throttled (vcgencmd get_throttled: {found.throttled})",
            "use a stronger power supply and better cooling",
        )  # fmt: skip


def _heat(found: Inventory) -> Iterator[DoctorFinding]:
    if not found.zones:
        yield DoctorFinding(NOTE, "heat", "no temperature can be read on this machine")
        return
    hottest = max(found.zones, key=lambda zone: zone.celsius)
    limit = min(hottest.limit_celsius or _TOO_HOT_CELSIUS, _TOO_HOT_CELSIUS)
    text = f"{hottest.celsius:.0f} degrees ({hottest.name}), throttles at {limit:.0f}"
    if hottest.celsius >= limit:
        yield DoctorFinding(ERROR, "heat", text, "it throttles now: let it cool down, and improve the cooling")
    elif hottest.celsius >= min(_HOT_CELSIUS, limit - 5.0):
        yield DoctorFinding(WARNING, "heat", text, "improve the cooling; when hot, the planner imagines fewer futures")
    else:
        yield DoctorFinding(FINE, "heat", text)


def _ros(found: Inventory) -> Iterator[DoctorFinding]:
    distribution = found.environment.get("ROS_DISTRO", "")
    if distribution in _ROS:
        yield DoctorFinding(FINE, "ros", f"ROS 2 {distribution}")
    elif distribution:
        yield DoctorFinding(
            ERROR, "ros", f"ROS 2 {distribution} is sourced", f"this program runs on {' and '.join(_ROS)}"
        )
    elif found.ros_installations:
        name = found.ros_installations[-1]
        yield DoctorFinding(
            WARNING, "ros", f"ROS 2 {name} is installed but not sourced", f"source /opt/ros/{name}/setup.bash"
        )
    else:
        yield DoctorFinding(WARNING, "ros", "no ROS 2 in this shell", "use scripts/with-ros, or install ROS 2 Jazzy")
    domain = found.environment.get("ROS_DOMAIN_ID", "0")
    if not domain.isdigit() or int(domain) > 101:
        yield DoctorFinding(WARNING, "ros", f"ROS_DOMAIN_ID is {domain}", "use 0 to 101: these work on every system")


def _dds(found: Inventory) -> Iterator[DoctorFinding]:
    middleware = found.environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp (default)")
    profile = next((v for k, v in found.environment.items() if k.endswith("DEFAULT_PROFILES_FILE")), "")
    yield DoctorFinding(FINE, "dds", f"{middleware}{f', profile {profile}' if profile else ''}")
    if middleware.startswith("rmw_fastrtps") and not profile and found.environment.get("ROS_DISTRO"):
        yield DoctorFinding(
            NOTE, "dds", "Fast DDS without a profile: a killed process can block others (docs/adr/0008)",
            "the launch files set one; for other nodes set FASTRTPS_DEFAULT_PROFILES_FILE=config/fastdds.xml",
        )  # fmt: skip
    if 0 < found.receive_buffer_bytes < _SCAN_BUFFER_BYTES:
        yield DoctorFinding(
            NOTE, "dds", f"receive buffers of {found.receive_buffer_bytes} bytes lose clouds and images over a network",
            "sudo sysctl -w net.core.rmem_max=2147483647",
        )  # fmt: skip


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _major(version: str) -> int:
    return (_numbers(version) or (0,))[0]
