"""Opens the world model that the parameters of a node ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node

from edge_worldmodel.backends import BACKENDS, open_backend
from edge_worldmodel.backends.options import PRECISIONS, PROVIDERS, BackendOptions
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.golden import GoldenMismatchError, GoldenMissingError, check_golden
from edge_worldmodel.models.inventory import device_name
from edge_worldmodel.models.manifest import VerifiedModel, load_model
from edge_worldmodel.models.model_choice import ModelChoice
from edge_worldmodel.models.placement_record import record_path, resolve, runtime_name
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.spans import recording, span


@dataclass(frozen=True)
class ModelConfig(Config):
    """Choice of model and network runtime."""

    backend: str = param("onnxruntime", "Network runtime.", choices=tuple(BACKENDS), read_only=True)
    provider: str = param(
        "cpu",
        "Execution provider of backend onnxruntime; the installed ONNX Runtime must have it.",
        choices=PROVIDERS,
        read_only=True,
    )
    precision: str = param(
        "exported",
        "Precision of backend tensorrt: as in the file; half precision (TensorRT 10, or an FP16 file); as in the file, "
        "which must be quantised.",
        choices=PRECISIONS,
        read_only=True,
    )
    max_futures: int = param(
        64, "Largest batch of futures for which TensorRT engines are built.", minimum=1, maximum=2048, read_only=True
    )
    engine_dir: str = param(
        "",
        "Folder of TensorRT engines, writable by this user only; empty: ~/.cache/edge_worldmodel/engines.",
        read_only=True,
    )
    version_compatible: bool = param(
        False,
        "Build engines that also later TensorRT versions and the lean runtime can run; somewhat slower.",
        read_only=True,
    )
    model: str = param(
        "",
        "Name of a shipped model; empty: the one that edge-worldmodel place chose for this device.",
        read_only=True,
    )
    model_dir: str = param("", "Folder of another model with its manifest.json; empty: a shipped one.", read_only=True)
    threads: int = param(2, "Threads of the network runtime.", minimum=1, maximum=64, read_only=True)


def open_world_model(node: Node, config: ModelConfig, health: Health) -> WorldModel:
    """Verify and load the model, check its golden outputs on this device, and show the choice in log and /diagnostics.

    A shipped model whose outputs differ here is refused and the next suitable one is taken, with a warning.

    Raises:
        ModelError: the model is damaged, unknown or of other shapes, or the outputs of a model that was chosen by
            parameter differ here.
        PlacementError: the outputs of every suitable model differ here.
        BackendError: the runtime cannot be used here.
    """
    logger = node.get_logger()

    def note(description: str) -> None:
        """Show a change that the backend made by itself; called on a thread of the backend."""
        health.figures.update(backend=description)
        logger.info(description)

    backend = spanned_backend(open_backend(config.backend, config.threads, _options(config), note))
    model_id = config.backend
    if config.backend != "deterministic":
        model_id = _load_proven(backend, config, node, health).model_id
    health.figures.update(backend=backend.describe(), model_id=model_id)
    logger.info(f"model '{model_id}' on {backend.describe()} (parameter backend: {config.backend})")
    return WorldModel(backend, model_id)


def _load_proven(backend: Backend, config: ModelConfig, node: Node, health: Health) -> VerifiedModel:
    """Load the first suitable model whose golden vectors this device reproduces."""
    refused: dict[str, str] = {}
    while True:
        folder, choice = _choose(config, refused)
        model = load_model(folder)
        node.get_logger().info(f"model chosen: {choice.why}")
        backend.load(model.networks)
        try:
            check_golden(backend, model.model_id, model.manifest)
        except (GoldenMismatchError, GoldenMissingError) as error:
            if config.model_dir and isinstance(error, GoldenMissingError):
                health.problem("model", str(error), DiagnosticStatus.WARN)
                return model
            if config.model or config.model_dir:
                raise
            node.get_logger().error(f"model refused: {error}")
            refused[choice.variant] = str(error)
            continue
        if refused:
            text = f"model {model.model_id} is used instead: {'; '.join(refused.values())}"
            health.problem("model", text, DiagnosticStatus.WARN)
        return model


def _options(config: ModelConfig) -> BackendOptions:
    options = BackendOptions(
        provider=config.provider,
        precision=config.precision,
        max_futures=config.max_futures,
        futures=min(BackendOptions.futures, config.max_futures),
        version_compatible=config.version_compatible,
    )
    return dataclasses.replace(options, engine_dir=Path(config.engine_dir)) if config.engine_dir else options


def _choose(config: ModelConfig, refused: Collection[str] = ()) -> tuple[Path, ModelChoice]:
    """Return the folder of the model and why it is that one."""
    if config.model_dir:
        why = f"{config.model_dir} was set as model_dir"
        return Path(config.model_dir), ModelChoice("", True, why)
    runtime = runtime_name(config.backend, config.threads, _options(config))
    device = device_name(this_machine(lambda _: ""))
    folder, choice = resolve(_shipped_models(), config.model, record_path(), device, runtime, refused)
    # `colcon build --symlink-install` installs links, which load_model refuses: use the folder behind them
    return (folder / "manifest.json").resolve().parent, choice


def _shipped_models() -> Path:
    return Path(get_package_share_directory("edge_worldmodel")) / "models"


class SpannedBackend:
    """Records each call of a backend as a span with the name of the network."""

    def __init__(self, backend: Backend) -> None:
        """Wrap ``backend``."""
        self._backend = backend

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Load networks."""
        with span("load networks"):
            self._backend.load(networks)

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network."""
        with span(network):
            return self._backend.run(network, inputs)

    def describe(self) -> str:
        """Return the description of the wrapped backend."""
        return self._backend.describe()


def spanned_backend(backend: Backend) -> Backend:
    """Return the backend, wrapped if this process records spans."""
    return SpannedBackend(backend) if recording() else backend
