"""The stages of training: what each trains, by which loss, and for how long.

1. The auto-encoder learns to write a future clip as a latent and to read it back: posterior and decoder, as a
   variational auto-encoder with a light prior.
2. The flow learns to imagine latents from noise (rectified flow): encoder, denoiser and decoder, while the posterior
   stays as it is. At every noise level the decoded best estimate of the clip must be a good probability. The result is
   the teacher.
3. The student learns to imagine in one step. Several of its clips per scene are scored together against the true one.
   The flow is trained along, so that warm starts and further denoising steps still work.

The regression is a stage of its own, in place of all three: the same networks without noise, to compare with.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from edge_worldmodel.core.model.context_channels import BLOCK
from edge_worldmodel.core.tensors import LATENT, LATENT_CHANNELS
from edge_worldmodel.training import losses
from edge_worldmodel.training.batches import Batch, take
from edge_worldmodel.training.checkpoints import TrainingState
from edge_worldmodel.training.data.splits import ClipSet
from edge_worldmodel.training.networks import LEARNED_CHANNELS, WorldNetworks
from edge_worldmodel.training.recalibration import recalibrate
from edge_worldmodel.training.train_config import TrainConfig

DIVERGENCE_WEIGHT = 0.1
FORECAST_WEIGHT = 0.004
ENERGY_WEIGHT = 0.04
BRIER_WEIGHT = 0.015
"""Weights of the student's scores, relative to its distance from the teacher's clips."""
TEACHER_STEPS = 4
"""Denoising steps in which the teacher imagines the clips that the student learns to reach in one."""
STUDENT_FUTURES = 4
"""Futures per scene in the student's stage."""
PURE_NOISE_SHARE = 0.3
"""Share of clips trained at noise level 1, where every cold start begins."""
_WARMUP_STEPS = 200

Parts = dict[str, float]
"""Parts of a loss, by name, for the log."""


class Stage(ABC):
    """One stage of training."""

    name: ClassVar[str]
    """Name in the log, and in the checkpoint's facts as ``steps_<name>``."""
    number: ClassVar[int]
    """Place in STAGES; checkpoints hold it, and batches and noise follow from it."""
    needs_teacher: ClassVar[bool] = False
    rate_factor: ClassVar[float] = 1.0
    """Factor on the configured learning rate."""

    def __init__(self, teacher: WorldNetworks | None = None) -> None:
        """Train with a teacher if the stage needs one; without a teacher the student learns from its scores only."""
        self.teacher = teacher

    def modules(self, networks: WorldNetworks) -> list[nn.Module]:
        """Return the networks that the stage changes."""
        return [networks.encoder, networks.denoiser, networks.decoder]

    @abstractmethod
    def share(self, config: TrainConfig) -> float:
        """Return the share of the whole run that the stage gets."""

    def clips_per_step(self, config: TrainConfig) -> int:
        """Return the number of clips in a batch."""
        return config.batch_size

    @abstractmethod
    def loss(
        self, networks: WorldNetworks, batch: Batch, random: torch.Generator, progress: float
    ) -> tuple[Tensor, Parts]:
        """Return the loss of a batch and its parts.

        Args:
            networks: to train.
            batch: clips.
            random: source of noise.
            progress: how much of the stage is done, 0 to 1.
        """

    def validate(self, networks: WorldNetworks, clips: ClipSet, device: str) -> tuple[Parts, float]:
        """Return figures for the log, and one that grows as the networks get better."""
        loss = one_step_forecast_loss(networks, clips, device=device)
        return {"validation_forecast": round(loss, 3)}, -loss

    def finish(self, networks: WorldNetworks, training: ClipSet, validation: ClipSet) -> dict[str, Any]:
        """Adjust the averaged networks at the end of the stage, and return facts for the checkpoint."""
        return {}

    def progress(self, config: TrainConfig, state: TrainingState) -> float:
        """Return how much of the stage is done: 1 at its end, more when it ran longer than planned."""
        share = self.share(config)
        if config.steps:
            return state.step / max(1, round(config.steps * share))
        return state.elapsed_s[self.number] / (config.minutes * 60.0 * share)

    def learning_rate(self, config: TrainConfig, state: TrainingState) -> float:
        """Return the learning rate of the next step: a short rise, then a cosine down to a fiftieth."""
        progress = min(1.0, self.progress(config, state))
        cosine = 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * progress))
        return config.learning_rate * self.rate_factor * min(1.0, (state.step + 1) / _WARMUP_STEPS) * cosine


class Autoencoder(Stage):
    """Learns to write a future clip as a latent, and to read it back."""

    name, number = "autoencoder", 0

    def modules(self, networks: WorldNetworks) -> list[nn.Module]:
        """Return posterior and decoder."""
        return [networks.posterior, networks.decoder]

    def share(self, config: TrainConfig) -> float:
        """Return the configured share."""
        return config.first_share

    def loss(
        self, networks: WorldNetworks, batch: Batch, random: torch.Generator, progress: float
    ) -> tuple[Tensor, Parts]:
        """Reconstruct the future clip through a sampled latent."""
        return autoencoder_loss(networks, batch, random)

    def validate(self, networks: WorldNetworks, clips: ClipSet, device: str) -> tuple[Parts, float]:
        """Return how well moving cells are reconstructed."""
        quality = reconstruction_quality(networks, clips, device=device)
        return {name: round(value, 4) for name, value in quality.items()}, quality["iou_near_moving"]

    def finish(self, networks: WorldNetworks, training: ClipSet, validation: ClipSet) -> dict[str, Any]:
        """Measure the scale of the latents, so that the flow works with numbers of unit size."""
        networks.decoder.latent_scale.copy_(measure_latent_scale(networks, training))
        return {"reconstruction": reconstruction_quality(networks, validation)}


class Flow(Stage):
    """Learns to imagine latents from noise in several steps: the teacher."""

    name, number = "flow", 1

    def share(self, config: TrainConfig) -> float:
        """Return the share that the other two stages leave."""
        return 1.0 - config.first_share - config.student_share

    def loss(
        self, networks: WorldNetworks, batch: Batch, random: torch.Generator, progress: float
    ) -> tuple[Tensor, Parts]:
        """Match the flow, and make the best estimate of the clip a good forecast."""
        return flow_loss(networks, batch, random)


class Student(Stage):
    """Learns to imagine in one step."""

    name, number = "student", 2
    needs_teacher = True
    # Lower, because the student begins with the teacher's trained weights.
    rate_factor = 0.5

    def share(self, config: TrainConfig) -> float:
        """Return the configured share, or 1 if no other stage is trained."""
        return 1.0 if config.taught else config.student_share

    def clips_per_step(self, config: TrainConfig) -> int:
        """Return half of the batch, because several futures of each clip are imagined."""
        return max(1, config.batch_size // 2)

    def loss(
        self, networks: WorldNetworks, batch: Batch, random: torch.Generator, progress: float
    ) -> tuple[Tensor, Parts]:
        """Follow the teacher with a falling weight, and score the futures together."""
        return student_loss(networks, batch, random, self.teacher, max(0.0, 1.0 - progress) ** 2)

    def finish(self, networks: WorldNetworks, training: ClipSet, validation: ClipSet) -> dict[str, Any]:
        """Recalibrate the probabilities."""
        return {"calibration": recalibrate(networks, validation)}


class Regression(Stage):
    """Trains one forecast without noise; logged and counted as the flow, whose place it takes."""

    name, number = "flow", 1

    def share(self, config: TrainConfig) -> float:
        """Return 1, because it is the only stage of its run."""
        return 1.0

    def loss(
        self, networks: WorldNetworks, batch: Batch, random: torch.Generator, progress: float
    ) -> tuple[Tensor, Parts]:
        """Forecast without noise."""
        return regression_loss(networks, batch)

    def validate(self, networks: WorldNetworks, clips: ClipSet, device: str) -> tuple[Parts, float]:
        """Return the loss of its one forecast."""
        loss = one_step_forecast_loss(networks, clips, noise=False, device=device)
        return {"validation_forecast": round(loss, 3)}, -loss

    def finish(self, networks: WorldNetworks, training: ClipSet, validation: ClipSet) -> dict[str, Any]:
        """Recalibrate the probabilities."""
        return {"calibration": recalibrate(networks, validation, noise=False)}


STAGES: tuple[type[Stage], ...] = (Autoencoder, Flow, Student)
"""The stages of a whole run, in order."""


def autoencoder_loss(networks: WorldNetworks, batch: Batch, random: torch.Generator) -> tuple[Tensor, Parts]:
    """Reconstruct the future clip through a sampled latent."""
    mean, log_variance = networks.posterior(batch.future, batch.observed)
    noise = torch.randn(mean.shape, generator=random).to(mean.device)
    latent = mean + torch.exp(0.5 * log_variance) * noise
    logits = networks.decoder.logits(latent, observed_context(batch))
    reconstruction = losses.reconstruction_loss(logits, batch)
    divergence = losses.divergence(mean, log_variance)
    parts = {"reconstruction": reconstruction.item(), "divergence": divergence.item()}
    return (reconstruction + DIVERGENCE_WEIGHT * divergence) * 1e-2, parts


def flow_loss(networks: WorldNetworks, batch: Batch, random: torch.Generator) -> tuple[Tensor, Parts]:
    """Match the velocity of the rectified flow, and make its best estimate of the clip a good forecast.

    The probability is scored at every noise level, so that the mean over futures is a good one, too.
    """
    context = networks.encoder(batch.history, batch.motion)
    with torch.no_grad():
        mean, _ = networks.posterior(batch.future, batch.observed)
        data = mean / networks.decoder.latent_scale
    # Drawn on the CPU, so that every device trains with the same numbers.
    noise = torch.randn(data.shape, generator=random).to(data.device)
    level = torch.rand(len(data), generator=random)
    level = torch.where(torch.rand(len(data), generator=random) < PURE_NOISE_SHARE, torch.ones(()), level)
    level = level.to(data.device)
    s = level[:, None, None, None]
    noisy = (1.0 - s) * data + s * noise
    velocity = networks.denoiser(noisy, context, batch.maneuver, level)
    flow = (velocity - (noise - data)).square().mean()
    # The straight line from here, followed to noise level 0, is the best estimate of the clip.
    logits = networks.decoder.logits(noisy - s * velocity, context)
    forecast = losses.forecast_loss(logits, batch).mean()
    return flow + FORECAST_WEIGHT * forecast, {"flow": flow.item(), "forecast": forecast.item()}


def student_loss(
    networks: WorldNetworks,
    batch: Batch,
    random: torch.Generator,
    teacher: WorldNetworks | None,
    teacher_weight: float = 1.0,
) -> tuple[Tensor, Parts]:
    """Learn to reach in one step the clips that the teacher reaches in several, and to forecast well with all futures.

    The teacher shows how futures differ, but not how much they should: its weight falls during the stage, and the
    scores decide. From anywhere on the straight line between noise and clip the remaining way must lead to the same
    clip (reflow: Liu et al., "Flow Straight and Fast", 2022), so that warm starts and further steps stay right.

    Args:
        networks: to train.
        batch: clips.
        random: source of noise.
        teacher: None to train by the scores alone.
        teacher_weight: weight of the distance from the teacher's clips, 0 to 1.
    """
    count = len(batch.history)
    noise = torch.randn(count * STUDENT_FUTURES, *LATENT.shape[1:], generator=random).to(batch.history.device)
    level = torch.rand(count, generator=random).to(noise.device)
    maneuver = batch.maneuver.repeat_interleave(STUDENT_FUTURES, dim=0)
    context = networks.encoder(batch.history, batch.motion)
    repeated = context.repeat_interleave(STUDENT_FUTURES, dim=0)
    imagined = networks.in_steps(noise, repeated, maneuver, 1)
    from_noise = imagined.new_zeros(())
    if teacher is not None:
        with torch.no_grad():
            teacher_context = teacher.encoder(batch.history, batch.motion).repeat_interleave(STUDENT_FUTURES, dim=0)
            target = teacher.in_steps(noise, teacher_context, maneuver, TEACHER_STEPS)
        from_noise = (imagined - target).square().mean()
    # Without gradient: the velocity must lead to the imagined clip, not the clip move towards the velocity.
    start, end = noise[::STUDENT_FUTURES], imagined[::STUDENT_FUTURES].detach()
    s = level[:, None, None, None]
    velocity = networks.denoiser((1.0 - s) * end + s * start, context, batch.maneuver, level)
    on_the_way = (velocity - (start - end)).square().mean()
    logits = networks.decoder.logits(imagined, repeated).unflatten(0, (count, STUDENT_FUTURES))
    energy, brier = (score.mean() for score in losses.ensemble_loss(logits, batch))
    parts = {"from_noise": from_noise, "on_the_way": on_the_way, "energy": energy, "brier": brier}
    loss = teacher_weight * from_noise + on_the_way + ENERGY_WEIGHT * energy + BRIER_WEIGHT * brier
    return loss, {name: part.item() for name, part in parts.items()}


def regression_loss(networks: WorldNetworks, batch: Batch) -> tuple[Tensor, Parts]:
    """Forecast from zeros in place of noise."""
    context = networks.encoder(batch.history, batch.motion)
    zeros = torch.zeros(len(context), *LATENT.shape[1:], device=context.device)
    forecast = losses.forecast_loss(networks.in_one_step(zeros, context, batch.maneuver), batch).mean()
    return FORECAST_WEIGHT * forecast, {"forecast": forecast.item()}


def observed_context(batch: Batch) -> Tensor:
    """Return a context (B, 208, 16, 16) whose learned channels are zero; the decoder reads none of them."""
    present, motion = (nn.functional.pixel_unshuffle(grid, BLOCK) for grid in (batch.present, batch.motion))
    return torch.cat([present, present.new_zeros(len(present), LEARNED_CHANNELS, *present.shape[2:]), motion], dim=1)


@torch.no_grad()
def measure_latent_scale(networks: WorldNetworks, clips: ClipSet) -> Tensor:
    """Return the standard deviation of each latent channel over the first 1024 clips, (1, Cl, 1, 1)."""
    sums, count = torch.zeros(2, LATENT_CHANNELS), 0
    order = torch.arange(min(1024, len(clips)))
    for indices in order.split(64):
        batch = take(clips, indices.numpy())
        mean, _ = networks.posterior(batch.future, batch.observed)
        sums += torch.stack([mean.sum(dim=(0, 2, 3)), mean.square().sum(dim=(0, 2, 3))])
        count += mean[:, 0].numel()
    average, square = sums / count
    return (square - average.square()).clamp(min=0.01).sqrt().view(1, -1, 1, 1)


@torch.no_grad()
def reconstruction_quality(
    networks: WorldNetworks, clips: ClipSet, count: int = 256, *, device: str = "cpu"
) -> dict[str, float]:
    """Return recall and IoU at 0.5 of moving cells after encoding and decoding the first clips."""
    batch = take(clips, torch.arange(min(count, len(clips))).numpy()).to(device)
    mean, _ = networks.posterior(batch.future, batch.observed)
    logits = networks.decoder.logits(mean / networks.decoder.latent_scale, observed_context(batch))
    near = losses.grow(torch.maximum(batch.moving, batch.present_moving), 1) * batch.known
    guess, truth = (logits > 0).float() * near, batch.future * near
    both, either = (guess * truth).sum(), torch.maximum(guess, truth).sum()
    recall = (guess * batch.moving).sum() / batch.moving.sum().clamp(min=1)
    return {"iou_near_moving": float(both / either.clamp(min=1)), "recall_moving": float(recall)}


@torch.no_grad()
def one_step_forecast_loss(
    networks: WorldNetworks, clips: ClipSet, count: int = 256, *, noise: bool = True, device: str = "cpu"
) -> float:
    """Return the forecast loss of a single denoising step, from noise or from zeros, on the first clips."""
    batch = take(clips, torch.arange(min(count, len(clips))).numpy()).to(device)
    start = torch.randn(len(batch.history), *LATENT.shape[1:], generator=torch.Generator().manual_seed(0))
    start = start.to(device) * noise
    context = networks.encoder(batch.history, batch.motion)
    return float(losses.forecast_loss(networks.in_one_step(start, context, batch.maneuver), batch).mean())
