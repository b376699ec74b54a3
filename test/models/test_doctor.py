"""The doctor reads machines that are made up as files and commands, and finds on each what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_worldmodel import cli
from edge_worldmodel.models import doctor, inventory
from edge_worldmodel.models.doctor_rules import ERROR, FINE, NOTE, WARNING, DoctorFinding, examine
from edge_worldmodel.models.inventory import Inventory, ThermalZone, device_name, take_inventory

MODELS = Path(__file__).resolve().parents[2] / "models"
PI = {
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd crc32 asimddp\nprocessor\t: 1\nModel\t: Raspberry Pi 5\n",
    "proc/meminfo": "MemTotal:  4000000 kB\nMemAvailable: 2000000 kB\nSwapTotal: 500000 kB\nSwapFree: 100000 kB\n",
    "proc/loadavg": "0.50 0.40 0.30 1/100 1",
    "proc/device-tree/model": "Raspberry Pi 5 Model B\0",
    "proc/sys/net/core/rmem_max": "212992",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "82500",
    "sys/class/thermal/thermal_zone0/trip_point_0_temp": "85000",
    "sys/class/thermal/thermal_zone1/temp": "-274000",
    "sys/fs/cgroup/cpu.max": "150000 100000",
    "sys/fs/cgroup/memory.max": "1073741824",
    "opt/ros/jazzy/setup.bash": "",
}
HEALTHY = Inventory(
    cpu="Cortex-A78AE", architecture="aarch64", cores=6, cpu_features=("asimd",), load=1.0, memory_mb=8000,
    available_mb=5000, disk_free_mb=9000, packages={"onnxruntime": "1.31.1", "numpy": "1.26.4"}, python="3.10.12",
    environment={"ROS_DISTRO": "jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE": "fastdds.xml"},
    zones=(ThermalZone("cpu", 45.0, 97.0),), receive_buffer_bytes=1 << 31,
)  # fmt: skip
JETSON = dataclasses.replace(
    HEALTHY, board="NVIDIA Jetson Orin Nano", l4t="36.4.3", gpus=("Jetson GPU",), power_mode="MAXN",
    packages={"onnxruntime": "1.31.1", "numpy": "1.26.4", "tensorrt": "10.3.0", "pycuda": "2026.1"},
)  # fmt: skip


def _files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_reads_a_machine(tmp_path: Path) -> None:
    answers = {"vcgencmd": "throttled=0x50000\n"}
    found = take_inventory(
        {"ROS_DISTRO": "jazzy", "HOME": "/root"},
        "3.12.1",
        "aarch64",
        lambda c: answers.get(c[0], ""),
        _files(tmp_path, PI),
    )
    assert (found.cpu, found.cores, found.cpu_features) == ("Raspberry Pi 5", 2, ("asimd", "asimddp"))
    assert (found.memory_mb, found.available_mb, found.swap_used_mb, found.limit_mb) == (3906, 1953, 391, 1024)
    assert (found.quota_cores, found.load, found.governors, found.throttled) == (1.5, 0.5, ("powersave",), "0x50000")
    assert found.zones == (ThermalZone("cpu-thermal", 82.5, 85.0),)
    assert found.environment == {"ROS_DISTRO": "jazzy"} and found.ros_installations == ("jazzy",)
    assert device_name(found) == "Raspberry Pi 5, 2 cores, aarch64, Raspberry Pi 5 Model B"
    told = {finding.topic: finding.level for finding in examine(found) if finding.level not in (FINE, NOTE)}
    assert told == {"cpu": WARNING, "memory": WARNING, "power": WARNING, "heat": WARNING}


def test_reads_gpus_and_jetpack(tmp_path: Path) -> None:
    answers = {
        "nvidia-smi": "NVIDIA H100 80GB HBM3, 550.54\n| CUDA Version: 12.4 |",
        "nvcc": "Cuda compilation tools, release 12.6, V12.6.20",
        "nvpmodel": "NV Power Mode: 15W\n0",
    }
    files = {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081"}
    found = take_inventory({}, "3.10", "aarch64", lambda c: answers.get(c[0], ""), _files(tmp_path, files))
    assert (found.gpus[0], found.driver_cuda, found.toolkit_cuda) == ("NVIDIA H100 80GB HBM3", "12.4", "12.6")
    assert (found.l4t, found.power_mode) == ("36.4.3", "15W")


def test_an_empty_machine_is_no_crash(tmp_path: Path) -> None:
    assert take_inventory({}, "", "", lambda _: "", tmp_path).cores == 0
    assert examine(Inventory())


@pytest.mark.parametrize("machine", [HEALTHY, JETSON])
def test_a_healthy_machine_has_nothing_to_mend(machine: Inventory) -> None:
    assert not [finding for finding in examine(machine) if finding.level != FINE]


@pytest.mark.parametrize(
    ("changes", "level", "topic", "words"),
    [
        ({"available_mb": 300}, ERROR, "memory", "less than 400 MB"),
        ({"limit_mb": 256}, ERROR, "memory", "less than 400 MB"),
        ({"cores": 1}, WARNING, "cpu", "one core"),
        ({"load": 9.0}, WARNING, "cpu", "9.0 processes want the 6 cores"),
        ({"cpu_features": ()}, WARNING, "cpu", "neither AVX2 nor NEON"),
        ({"disk_free_mb": 100}, WARNING, "disk", "100 MB free"),
        ({"gpus": ("RTX",)}, WARNING, "accelerator", "the GPU is not used"),
        ({"l4t": "36.3.0"}, ERROR, "jetpack", "TensorRT 8"),
        ({"packages": {}}, ERROR, "python", "ONNX Runtime is not installed"),
        ({"packages": {"onnxruntime": "1", "onnxruntime-gpu": "1"}}, ERROR, "python", "overwrite each other"),
        (
            {"packages": {"onnxruntime": "1", "opencv-python": "4", "opencv-python-headless": "4"}},
            WARNING, "python", "two OpenCVs",
        ),
        ({"packages": {"onnxruntime": "1", "tensorrt": "8.6.1"}}, ERROR, "python", "TensorRT 8.6.1 is too old"),
        (
            {"packages": {"onnxruntime": "1", "tensorrt": "10.3.0"}, "gpus": ("RTX",)},
            ERROR, "cuda", "no CUDA for Python",
        ),
        (
            {"packages": {"onnxruntime": "1", "tensorrt": "11", "cuda-bindings": "13.5.0"},
             "gpus": ("RTX",), "driver_cuda": "12.4"},
            ERROR, "cuda", "needs a driver for CUDA 13",
        ),
        ({"toolkit_cuda": "12.6", "driver_cuda": "12.4"}, WARNING, "cuda", "update the driver"),
        (
            {"packages": {"onnxruntime": "1", "numpy": "2.1"}, "ros_installations": ("jazzy",),
             "environment": HEALTHY.environment | {"AMENT_PREFIX_PATH": "/opt/ros/jazzy"}},
            ERROR, "python", "numpy<2",
        ),
        ({"broken": {"cv2": "ImportError: libGL.so.1: cannot open"}}, ERROR, "python", "a system library"),
        ({"broken": {"cv2": "A module compiled using NumPy 1.x"}}, ERROR, "python", "another numpy"),
        ({"governors": ("powersave",)}, WARNING, "power", "governor is powersave"),
        ({"power_mode": "15W"}, NOTE, "power", "nvpmodel -m 0"),
        ({"throttled": "0x50005"}, ERROR, "power", "throttles"),
        ({"zones": (ThermalZone("gpu", 96.0, 99.0),)}, ERROR, "heat", "it throttles now"),
        ({"zones": ()}, NOTE, "heat", "no temperature"),
        ({"environment": {**HEALTHY.environment, "ROS_DISTRO": "humble"}}, ERROR, "ros", "humble"),
        ({"environment": {}, "ros_installations": ("jazzy",)}, WARNING, "ros", "source /opt/ros/jazzy"),
        ({"environment": HEALTHY.environment | {"ROS_DOMAIN_ID": "200"}}, WARNING, "ros", "0 to 101"),
        ({"environment": {"ROS_DISTRO": "jazzy"}}, NOTE, "dds", "without a profile"),
        ({"receive_buffer_bytes": 212992}, NOTE, "dds", "rmem_max"),
    ],
)  # fmt: skip
def test_one_thing_wrong_is_found_and_only_that(changes: dict[str, Any], level: str, topic: str, words: str) -> None:
    told = [finding for finding in examine(dataclasses.replace(HEALTHY, **changes)) if finding.level != FINE]
    assert [(finding.level, finding.topic) for finding in told] == [(level, topic)]
    assert words in f"{told[0].text} {told[0].remedy}" and told[0].text


def test_a_model_that_this_machine_computes_wrongly_is_a_warning(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "nano", tmp_path / "nano")
    assert doctor.examine_models(tmp_path)[0].level == FINE
    path = tmp_path / "nano" / "manifest.json"
    manifest = json.loads(path.read_text())
    golden = manifest["networks"]["decoder"]["golden"]
    golden["values"] = [1.0 - value for value in golden["values"]]
    path.write_text(json.dumps(manifest))
    finding = doctor.examine_models(tmp_path)[0]
    assert finding.level == WARNING and "'decoder'" in finding.text and "edge-worldmodel place" in finding.remedy


def test_a_damaged_model_is_an_error(tmp_path: Path) -> None:
    assert doctor.examine_models(tmp_path)[0].level == ERROR
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "manifest.json").write_text("{}")
    found = doctor.examine_models(tmp_path)
    assert found[0].level == ERROR and "small" in found[0].text
    shipped = doctor.examine_models(Path(__file__).resolve().parents[2] / "models")
    assert shipped and {finding.level for finding in shipped} == {FINE}


def test_the_verb_gives_json_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGE_WORLDMODEL_PLACEMENT", str(tmp_path / "none.json"))
    monkeypatch.setattr(doctor, "this_machine", lambda: HEALTHY)
    monkeypatch.setattr(doctor, "broken_imports", lambda packages, ros: {})
    assert cli.main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["errors"] == 0 and told["inventory"]["cpu"] == "Cortex-A78AE"
    monkeypatch.setattr(doctor, "this_machine", lambda: dataclasses.replace(HEALTHY, available_mb=10))
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "ERROR   memory      less than 400 MB" in told and "-> end other programs" in told and "1 error(s)" in told


def test_imports_that_fail_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_MODULES", {"good": "json", "bad": "no_such_module_at_all", "absent": "x"})
    found = inventory.broken_imports({"good": "1", "bad": "1"}, ros=False)
    assert found == {"no_such_module_at_all": "ModuleNotFoundError: No module named 'no_such_module_at_all'"}


def test_findings_for_people() -> None:
    assert doctor.lines_of(DoctorFinding(FINE, "cpu", "quick")) == ["        cpu         quick"]
