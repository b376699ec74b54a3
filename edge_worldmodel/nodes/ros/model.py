"""Opens the world model that a node was told to use, and says which one and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticStatus
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
from edge_worldmodel.nodes.ros.spanned_backend import spanned_backend


@dataclass(frozen=True)
class ModelConfig(Config):
    """Which model runs on what."""

    backend: str = param("onnxruntime", "Network runtime.", choices=tuple(BACKENDS), read_only=True)
    provider: str = param(
        "cpu",
        "Execution provider of backend onnxruntime; one that the installed ONNX Runtime lacks is an error.",
        choices=PROVIDERS,
        read_only=True,
    )
    precision: str = param(
        "exported",
        "What backend tensorrt computes in: types as in the file; half precision (TensorRT 10, or an FP16 file); as in "
        "the file, refusing one that is not quantised.",
        choices=PRECISIONS,
        read_only=True,
    )
    max_futures: int = param(
        64, "Largest batch of futures that TensorRT's engines are built for.", minimum=1, maximum=2048, read_only=True
    )
    engine_dir: str = param(
        "",
        "Folder of TensorRT's engines, nobody else's to write to; empty: ~/.cache/edge_worldmodel/engines.",
        read_only=True,
    )
    version_compatible: bool = param(
        False, "Build engines that later TensorRT and its lean runtime can run, too; somewhat slower.", read_only=True
    )
    model: str = param(
        "",
        "A shipped model to run, by name; empty: the one that edge-worldmodel place chose for this device.",
        read_only=True,
    )
    model_dir: str = param("", "Folder of another model with its manifest.json; empty: a shipped one.", read_only=True)
    threads: int = param(2, "Threads of the network runtime.", minimum=1, maximum=64, read_only=True)


def open_world_model(node: Node, config: ModelConfig, health: Health) -> WorldModel:
    """Verify and load the model, prove that this device computes it, log the choice and show it in /diagnostics.

    A shipped model that computes something else here is refused, and the next suitable one is taken, with a warning.

    Raises:
        ModelError: the model is damaged, foreign or of other shapes, or one that the operator chose computes something
            else here.
        PlacementError: every suitable model computes something else here.
        BackendError: the runtime cannot be used here.
    """
    logger = node.get_logger()

    def note(what: str) -> None:
        """Show a change that the backend makes by itself; comes from its thread."""
        health.figures.update(backend=what)
        logger.info(what)

    backend = spanned_backend(open_backend(config.backend, config.threads, _options(config), note))
    model_id = config.backend
    if config.backend != "deterministic":
        model_id = _load_proven(backend, config, node, health).model_id
    health.figures.update(backend=backend.describe(), model_id=model_id)
    logger.info(f"model '{model_id}' on {backend.describe()} (asked for: {config.backend})")
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
            told = f"model {model.model_id} is used instead: {'; '.join(refused.values())}"
            health.problem("model", told, DiagnosticStatus.WARN)
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
        why = f"{config.model_dir} was chosen by the operator (model_dir)"
        return Path(config.model_dir), ModelChoice("", True, why)
    runtime = runtime_name(config.backend, config.threads, _options(config))
    device = device_name(this_machine(lambda _: ""))
    folder, choice = resolve(_shipped_models(), config.model, record_path(), device, runtime, refused)
    # `colcon build --symlink-install` installs links, which the store refuses: give it the folder behind them
    return (folder / "manifest.json").resolve().parent, choice


def _shipped_models() -> Path:
    return Path(get_package_share_directory("edge_worldmodel")) / "models"
