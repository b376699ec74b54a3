"""The builder's half of tensorrt_api: makes `engines` that only wrap the network, and remembers how it was told to."""

from __future__ import annotations

from typing import Any

import onnxruntime

from .tensorrt_api import PLAN, Module, StandIn, constructor, onnx_nodes


def add_builder(module: Module) -> None:
    """Give ``module`` a Builder and an OnnxParser; ``builds`` tells what each build was asked for."""
    module.builds = []
    module.refuse = False
    module.Builder = constructor(module, Builder)
    module.OnnxParser = constructor(module, Parser)


class Tensor(StandIn):
    """A tensor of single precision."""

    _real_name = "ITensor"

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self.dtype = module.DataType.FLOAT


class Layer(StandIn):
    """One operator."""

    _real_name = "ILayer"

    def __init__(self, module: Module, operator: str) -> None:
        super().__init__(module)
        types = module.LayerType
        self.type = types.QUANTIZE if operator == "QuantizeLinear" else types.ELEMENTWISE
        self.num_outputs = 1

    def get_output(self, index: int) -> Tensor:
        return Tensor(self._module)


class Network(StandIn):
    """A network, empty until it is parsed."""

    _real_name = "INetworkDefinition"

    def __init__(self, module: Module, flags: int) -> None:
        super().__init__(module)
        self._flags = flags
        self._fill(b"", [])

    def _fill(self, onnx: bytes, layers: list[Layer]) -> None:
        self._onnx, self._layers = onnx, layers
        self.num_layers = len(layers)

    def get_layer(self, index: int) -> Layer:
        return self._layers[index]


class Parser(StandIn):
    """Reads what ONNX Runtime can read."""

    _real_name = "OnnxParser"

    def __init__(self, module: Module, network: Network) -> None:
        super().__init__(module)
        self._network = network
        self.num_errors = 0

    def parse(self, model: bytes) -> bool:
        try:
            onnxruntime.InferenceSession(model)
        except Exception:
            self.num_errors = 1
            return False
        self._network._fill(model, [Layer(self._module, operator) for operator in onnx_nodes(model)])
        return True

    def get_error(self, index: int) -> str:
        return "In node -1 (importModel): INVALID_GRAPH"


class Profile(StandIn):
    """Remembers shapes."""

    _real_name = "IOptimizationProfile"

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self._shapes: dict[str, Any] = {}

    def set_shape(self, name: str, smallest: Any, usual: Any, largest: Any) -> None:
        self._shapes[name] = (smallest, usual, largest)


class BuilderConfig(StandIn):
    """Remembers settings; TF32 is on at first, as in TensorRT."""

    _real_name = "IBuilderConfig"

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self._flags: set[Any] = {module.BuilderFlag.TF32}
        self._profiles: list[Profile] = []
        self._pools: dict[Any, int] = {}
        self.progress_monitor = None

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[pool] = pool_size

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag)

    def add_optimization_profile(self, profile: Profile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1


class Builder(StandIn):
    """Wraps the network and notes how it was asked to."""

    _real_name = "Builder"

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self.max_threads = 0

    def create_network(self, flags: int) -> Network:
        return Network(self._module, flags)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig(self._module)

    def create_optimization_profile(self) -> Profile:
        return Profile(self._module)

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> bytes | None:
        strongly_typed = 1 << int(self._module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._module.builds.append(
            {
                "flags": {flag.name for flag in config._flags},
                "strongly_typed": bool(network._flags & strongly_typed),
                "profiles": [profile._shapes for profile in config._profiles],
                "pools": {pool.name: size for pool, size in config._pools.items()},
                "threads": self.max_threads,
            }
        )
        goes_on = _report(config.progress_monitor)
        return PLAN + network._onnx if goes_on and not self._module.refuse else None


def _report(monitor: Any) -> bool:
    """Tell two phases, one inside the other, as TensorRT does; stop when asked to."""
    monitor.phase_start("Building Engine", None, 4)
    for step in range(4):
        monitor.phase_start("Tactic Selection", "Building Engine", 1)
        inner = monitor.step_complete("Tactic Selection", 0)
        monitor.phase_finish("Tactic Selection")
        if not inner or not monitor.step_complete("Building Engine", step):
            monitor.phase_finish("Building Engine")
            return False
    monitor.phase_finish("Building Engine")
    return True
