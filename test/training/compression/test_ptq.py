"""Quantised networks are bytes inside, smaller, close to what they were made from, and described truthfully."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402

from edge_worldmodel import cli  # noqa: E402
from edge_worldmodel.backends import open_backend  # noqa: E402
from edge_worldmodel.backends.onnxruntime_backend import DISABLED_OPTIMISERS, session_options  # noqa: E402
from edge_worldmodel.core.errors import ModelError  # noqa: E402
from edge_worldmodel.core.tensors import NETWORKS  # noqa: E402
from edge_worldmodel.models.golden import TOLERANCES, check_golden  # noqa: E402
from edge_worldmodel.models.manifest import VerifiedModel, load_model  # noqa: E402
from edge_worldmodel.training import export  # noqa: E402
from edge_worldmodel.training.compression import quantise as quantise_module  # noqa: E402
from edge_worldmodel.training.compression.calibration_inputs import STEPS, collect_inputs  # noqa: E402
from edge_worldmodel.training.compression.model_folder import restore, write_model  # noqa: E402
from edge_worldmodel.training.compression.ptq import export_fused, quantise_all  # noqa: E402
from edge_worldmodel.training.compression.saturation import SaturationError, check_saturation, pair_sums  # noqa: E402
from edge_worldmodel.training.compression.sensitivity import REST, measure_sensitivity  # noqa: E402
from edge_worldmodel.training.networks import Architecture, WorldNetworks  # noqa: E402

from ..clip_factory import moving_blobs  # noqa: E402

SMALL = Architecture(encoder_width=16, denoiser_width=16, deep_width=16, decoder_width=16, posterior_width=16)
EIGHT_BITS = {"reduce_range": False}
MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> VerifiedModel:
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("source")
    export.export_model(WorldNetworks(SMALL), out, "tiny", {"steps": 0})
    return load_model(out)


@pytest.fixture(scope="module")
def inputs(source: VerifiedModel) -> dict:
    backend = open_backend("onnxruntime")
    backend.load(source.networks)
    return collect_inputs(backend, moving_blobs(2))


@pytest.fixture(scope="module")
def quantised(source: VerifiedModel, inputs: dict) -> dict[str, bytes]:
    return quantise_all(export_fused(restore(source)), inputs)


def _operators(network: bytes, folder: Path) -> set[str]:
    """Return the operators that ONNX Runtime really runs."""
    options = session_options(1)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(
        network, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(DISABLED_OPTIMISERS)
    )
    return {node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node}


def test_calibration_sees_cold_and_warm_starts(inputs: dict) -> None:
    levels = {round(float(each["noise_level"][0]), 3) for each in inputs["denoiser"]}
    assert {1.0, 0.25, 0.5} <= levels and len(inputs["denoiser"]) == 2 * (1 + STEPS + 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_run_in_bytes_and_give_nearly_the_same(
    name: str, source: VerifiedModel, inputs: dict, quantised: dict[str, bytes], tmp_path: Path
) -> None:
    operators = _operators(quantised[name], tmp_path)
    assert "QLinearConv" in operators and not operators & {"Conv", "FusedConv", "Resize"}
    backend, exact = open_backend("onnxruntime"), open_backend("onnxruntime")
    backend.load(quantised)
    exact.load(source.networks)
    asked = inputs[name][0]
    output = NETWORKS[name].outputs[0].name
    wanted, found = exact.run(name, asked)[output], backend.run(name, asked)[output]
    assert np.abs(found - wanted).max() > 0.0
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.1 * wanted.std()


def test_a_layer_that_is_kept_stays_in_full_precision(source: VerifiedModel, inputs: dict, tmp_path: Path) -> None:
    models = {"decoder": export_fused(restore(source))["decoder"]}
    kept = quantise_all(models, inputs, ["decoder /block/first/Conv"])["decoder"]
    assert {"QLinearConv"} < _operators(kept, tmp_path) & {"QLinearConv", "Conv", "FusedConv"}


def test_the_folder_says_what_it_is_made_from(
    source: VerifiedModel, quantised: dict[str, bytes], tmp_path: Path
) -> None:
    manifest = write_model(tmp_path / "tiny-int8", quantised, source.manifest, "int8", {"method": "test"})
    verified = load_model(tmp_path / "tiny-int8")
    assert verified.model_id.startswith("tiny-int8-") and manifest["precision"] == "int8"
    assert manifest["made_from"] == {"model_id": source.model_id, "method": "test"}
    assert manifest["networks"]["encoder"]["parameters"] == source.manifest["networks"]["encoder"]["parameters"]
    with pytest.raises(ModelError, match="has precision 'int8': use an fp32 model written by 'export'"):
        restore(verified)


@pytest.mark.parametrize("signed", [False, True])
def test_no_processor_overflows(source: VerifiedModel, inputs: dict, signed: bool) -> None:
    files = quantise_all(export_fused(restore(source)), inputs, signed=signed)
    check_saturation(files)
    assert min(len(pair_sums(data)) for data in files.values()) > 5


def test_weights_of_eight_bits_are_not_written(
    source: VerifiedModel, inputs: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_seven = quantise_module.quantize_static
    monkeypatch.setattr(
        quantise_module, "quantize_static", lambda *given, **options: with_seven(*given, **options | EIGHT_BITS)
    )
    files = quantise_all(export_fused(restore(source)), inputs)
    with pytest.raises(SaturationError, match="network 'encoder': 11 layer.s. overflow 16 bits .* first /fine/Conv"):
        write_model(tmp_path / "wide", files, source.manifest, "int8", {})
    assert not (tmp_path / "wide").exists()


def test_what_is_written_proves_itself_on_this_machine(
    source: VerifiedModel, quantised: dict[str, bytes], tmp_path: Path
) -> None:
    manifest = write_model(tmp_path / "tiny-int8", quantised, source.manifest, "int8", {})
    golden = manifest["networks"]["denoiser"]["golden"]
    assert golden["tolerance"] == TOLERANCES["int8"] and source.manifest["networks"]["denoiser"]["golden"] != golden
    backend = open_backend("onnxruntime")
    backend.load(quantised)
    check_golden(backend, "tiny-int8", manifest)
    backend.load(source.networks)
    check_golden(backend, "tiny", source.manifest)


def test_golden_vectors_are_added_to_a_model_of_before(source: VerifiedModel, tmp_path: Path) -> None:
    for name, data in source.networks.items():
        (tmp_path / f"{name}.onnx").write_bytes(data)
    old = copy.deepcopy(source.manifest)
    for entry in old["networks"].values():
        del entry["golden"]
    export.write_manifest(tmp_path, old)
    assert cli.main(["export", "--golden", str(tmp_path)]) == 0
    assert load_model(tmp_path).manifest == source.manifest


def test_sensitivity_finds_the_layer_that_rounding_harms(source: VerifiedModel, inputs: dict) -> None:
    networks, errors = restore(source), []
    with torch.no_grad():
        for layer in (networks.decoder.from_latent, networks.decoder.from_observed):
            layer.weight[0], layer.bias[0] = 0.0, 0.0
        # The second time: weights far above the rest of their channel, reading what is always zero. What the network
        # computes is the same, but rounding takes all the others away.
        for outlier in (0.0, 20.0):
            networks.decoder.block.first.weight[:, 0, 0, 0] = outlier
            told = measure_sensitivity({"decoder": export_fused(networks)["decoder"]}, {"decoder": inputs["decoder"]})
            assert told == sorted(told, key=lambda one: -one.error)
            errors.append({one.layer: one.error for one in told})
    assert errors[1]["/block/first/Conv"] > 1.5 * errors[0]["/block/first/Conv"] > 0.0
    assert errors[1]["/out/Conv"] == pytest.approx(errors[0]["/out/Conv"], rel=0.1) and REST in errors[0]
