"""Training learns, and a killed run goes on with the same result."""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.core.errors import ConfigError, ModelError  # noqa: E402
from edge_worldmodel.training import stages, train  # noqa: E402
from edge_worldmodel.training.checkpoints import TrainingState, load, new_state, save  # noqa: E402
from edge_worldmodel.training.networks import VARIANTS, Architecture, parameter_count  # noqa: E402
from edge_worldmodel.training.train import CHECKPOINT_NAME, LOG_NAME, TEACHER_NAME, Trainer  # noqa: E402
from edge_worldmodel.training.train_config import TrainConfig  # noqa: E402

from .clip_factory import moving_blobs  # noqa: E402

torch.set_num_threads(1)  # networks this small only wait for a second thread
SMALL = Architecture(encoder_width=16, denoiser_width=16, deep_width=16, decoder_width=16, posterior_width=16)
CONFIG = TrainConfig(steps=24, first_share=0.4, student_share=0.3, batch_size=4, save_every_s=0.0, threads=1)


class KilledError(Exception):
    """Stands for a kill between two steps."""


def _train(out: Path, state: TrainingState, kill_at: tuple[int, int] | None = None) -> TrainingState:
    trainer = Trainer(CONFIG, state, (moving_blobs(30), moving_blobs(8, seed=1)), out)
    step = trainer._step

    def stepping(*arguments):
        if kill_at == (state.stage, state.step):
            raise KilledError
        return step(*arguments)

    trainer._step = stepping
    return trainer.run(lambda line: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingState:
    return _train(tmp_path_factory.mktemp("whole"), new_state(SMALL, seed=0))


@pytest.mark.parametrize("kill_at", [(0, 4), (1, 0), (1, 4), (2, 3)])
def test_a_killed_run_resumes_with_the_same_result(
    whole: TrainingState, kill_at: tuple[int, int], tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        _train(tmp_path, new_state(SMALL, seed=0), kill_at)
    resumed = _train(tmp_path, load(tmp_path / CHECKPOINT_NAME))
    assert resumed.stage == 3
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(resumed.average.state_dict()[name], value, msg=name)


def test_another_seed_gives_another_result(whole: TrainingState) -> None:
    other = new_state(SMALL, seed=1).average.decoder.out.weight
    assert not torch.equal(other, new_state(SMALL, seed=0).average.decoder.out.weight)


def test_the_plain_regression_has_one_stage_and_forgets_no_clip(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=6, deterministic=True)
    state = new_state(SMALL, 0)
    state.stage = stages.Regression.number
    Trainer(config, state, (moving_blobs(20), moving_blobs(8, seed=1)), tmp_path).run(lambda line: None)
    assert state.facts["steps_flow"] == 6 and state.stage == 3 and not (tmp_path / TEACHER_NAME).exists()
    untrained = new_state(SMALL, 0).networks.posterior.state_dict()
    for name, value in state.networks.posterior.state_dict().items():
        assert torch.equal(value, untrained[name]), "nothing of the latent's encoder was trained"


def test_half_precision_trains_as_well(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=6, precision="bf16")
    clips = moving_blobs(20), moving_blobs(8, seed=1)
    state = Trainer(config, new_state(SMALL, 0), clips, tmp_path).run(lambda line: None)
    assert all(torch.isfinite(value).all() for value in state.average.state_dict().values())
    assert state.average.decoder.out.weight.dtype == torch.float32


def test_a_stage_ends_when_nothing_is_gained_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_REPORT_EVERY", 1)
    monkeypatch.setattr(train, "_VALIDATE_EVERY", 1)
    monkeypatch.setattr(stages, "one_step_forecast_loss", lambda *_, **__: 1.0)
    config = replace(CONFIG, steps=60, patience=2, deterministic=True)
    state = new_state(SMALL, 0)
    state.stage = stages.Regression.number
    Trainer(config, state, (moving_blobs(20), moving_blobs(8, seed=1)), tmp_path).run(lambda line: None)
    assert state.facts["steps_flow"] == 3, "the first validation is a gain, two are not"


def test_the_variants_differ_in_size() -> None:
    sizes = [parameter_count(new_state(VARIANTS[name], 0).networks) for name in ("nano", "small", "base")]
    assert sizes[0] < 0.6 * sizes[1] and sizes[2] > 2.0 * sizes[1]


def test_the_loss_falls(tmp_path: Path) -> None:
    config = TrainConfig(steps=112, first_share=0.9, student_share=0.05, batch_size=8, threads=1, learning_rate=1e-2)
    Trainer(config, new_state(SMALL, 0), (moving_blobs(50), moving_blobs(8, seed=1)), tmp_path).run(lambda line: None)
    with (tmp_path / LOG_NAME).open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    losses = [float(row["reconstruction"]) for row in rows if row["stage"] == "autoencoder"]
    assert losses[-1] < 0.9 * losses[0]


def test_every_stage_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_REPORT_EVERY", 1)
    clips = moving_blobs(20), moving_blobs(8, seed=1)
    Trainer(replace(CONFIG, steps=9), new_state(SMALL, 0), clips, tmp_path).run(lambda line: None)
    with (tmp_path / LOG_NAME).open(encoding="utf-8") as stream:
        logged = {row["stage"]: row for row in csv.DictReader(stream)}
    assert logged["autoencoder"]["reconstruction"] and logged["flow"]["flow"] and logged["student"]["energy"]


@pytest.mark.parametrize(("variant", "begins_as_taught"), [("small", True), ("nano", False)])
def test_a_student_of_any_size_learns_from_another_runs_teacher(
    tmp_path: Path, variant: str, begins_as_taught: bool
) -> None:
    taught = new_state(VARIANTS["small"], 3)
    taught.average.decoder.latent_scale.fill_(0.5)
    save(taught, tmp_path / "their.pt")
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    arguments = ["--data", "x", "--out", str(tmp_path), "--teacher", str(tmp_path / "their.pt"), "--variant", variant]
    state = train._first_state(parser.parse_args(arguments), replace(CONFIG, taught=True))
    assert state.average.architecture == VARIANTS[variant] and float(state.average.decoder.latent_scale.max()) == 0.5
    same = torch.equal(state.average.encoder.out.bias, taught.average.encoder.out.bias)
    assert same == begins_as_taught
    before = state.networks.denoiser.out.weight.clone()
    clips = moving_blobs(10), moving_blobs(8, seed=1)
    Trainer(replace(CONFIG, steps=2, taught=True), state, clips, tmp_path).run(lambda line: None)
    assert state.facts["steps_student"] == 2 and not torch.equal(before, state.networks.denoiser.out.weight)


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    save(new_state(SMALL, 0), tmp_path / CHECKPOINT_NAME)
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    with pytest.raises(ConfigError, match="--resume"):
        train.run(parser.parse_args(["--data", str(tmp_path), "--out", str(tmp_path)]))


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / CHECKPOINT_NAME
    save(new_state(SMALL, 0), path)
    whole = path.read_bytes()

    def cut(value, where) -> None:
        where = where.name if hasattr(where, "name") else where
        Path(where).write_bytes(whole[:1000])
        raise KilledError

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(KilledError):
        save(new_state(SMALL, 1), path)
    assert path.read_bytes() == whole and load(path).stage == 0


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT_NAME
    with pytest.raises(ModelError, match="does not exist"):
        load(path)
    save(new_state(SMALL, 0), path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ModelError, match=CHECKPOINT_NAME):
        load(path)
