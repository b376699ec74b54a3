"""The stages of training: learn to write a future clip as a latent, to imagine latents, and to do so in one step.

Stage 0 fits posterior and decoder as a variational auto-encoder with a light prior. Stage 1 keeps the posterior
and fits encoder, denoiser and decoder: rectified flow in the latent, and at every noise level the decoded best
estimate of the clip must be a good probability, so that the mean over futures is one as well. What comes out is
the teacher. Stage 2 makes the student of it: its clips of one step, several per scene, must together be likely to
hold the true one, while the flow of stage 1 is kept for warm starts and for whoever affords more steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_worldmodel.core.model.context_channels import BLOCK
from edge_worldmodel.core.tensors import LATENT, LATENT_CHANNELS
from edge_worldmodel.training import losses
from edge_worldmodel.training.batches import Batch, take
from edge_worldmodel.training.data.splits import ClipSet
from edge_worldmodel.training.networks import LEARNED_CHANNELS, WorldNetworks
from edge_worldmodel.training.train_config import STUDENT

DIVERGENCE_WEIGHT = 0.1
FORECAST_WEIGHT = 0.004
ENERGY_WEIGHT = 0.04
BRIER_WEIGHT = 0.015
"""What scores count beside the distance from the teacher's clips, in the third stage."""
TEACHER_STEPS = 4
"""Steps in which the teacher imagines what the student is to reach in one."""
STUDENT_FUTURES = 4
"""Futures per scene in the third stage."""
PURE_NOISE_SHARE = 0.3
"""Share of clips trained at noise level 1, where every cold start begins."""


def trained_modules(networks: WorldNetworks, stage: int) -> list[nn.Module]:
    """Return the networks that a stage changes."""
    if stage == 0:
        return [networks.posterior, networks.decoder]
    return [networks.encoder, networks.denoiser, networks.decoder]


def stage_loss(
    networks: WorldNetworks,
    stage: int,
    batch: Batch,
    random: torch.Generator,
    *,
    teacher: WorldNetworks | None = None,
    progress: float = 0.0,
    deterministic: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of one batch and its parts for the log; the last stage wants a teacher and its progress."""
    if stage == STUDENT and not deterministic:
        return student_loss(networks, batch, random, teacher, max(0.0, 1.0 - progress) ** 2)
    loss = deterministic_loss if deterministic else (autoencoder_loss, flow_loss)[stage]
    return loss(networks, batch, random)


def autoencoder_loss(networks: WorldNetworks, batch: Batch, random: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    """Reconstruct the future clip through a sampled latent."""
    mean, log_variance = networks.posterior(batch.future, batch.observed)
    noise = torch.randn(mean.shape, generator=random).to(mean.device)
    latent = mean + torch.exp(0.5 * log_variance) * noise
    logits = networks.decoder.logits(latent, observed_context(batch))
    reconstruction = losses.reconstruction_loss(logits, batch)
    divergence = losses.divergence(mean, log_variance)
    parts = {"reconstruction": reconstruction.item(), "divergence": divergence.item()}
    return (reconstruction + DIVERGENCE_WEIGHT * divergence) * 1e-2, parts


def flow_loss(networks: WorldNetworks, batch: Batch, random: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    """Match the velocity of the rectified flow, and make its best estimate of the clip a good forecast."""
    context = networks.encoder(batch.history, batch.motion)
    with torch.no_grad():
        mean, _ = networks.posterior(batch.future, batch.observed)
        data = mean / networks.decoder.latent_scale
    noise = torch.randn(data.shape, generator=random).to(data.device)
    level = torch.rand(len(data), generator=random)
    level = torch.where(torch.rand(len(data), generator=random) < PURE_NOISE_SHARE, torch.ones(()), level)
    level = level.to(data.device)
    s = level[:, None, None, None]
    noisy = (1.0 - s) * data + s * noise
    velocity = networks.denoiser(noisy, context, batch.maneuver, level)
    flow = (velocity - (noise - data)).square().mean()
    logits = networks.decoder.logits(noisy - s * velocity, context)
    forecast = losses.forecast_loss(logits, batch).mean()
    return flow + FORECAST_WEIGHT * forecast, {"flow": flow.item(), "forecast": forecast.item()}


def student_loss(
    networks: WorldNetworks, batch: Batch, random: torch.Generator, teacher: WorldNetworks | None, hold: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """Make one step go where the teacher's many steps go, and the futures it gives good forecasts together.

    The teacher shows what different futures are; that they are as different as what happens, only the scores ask for,
    so its ``hold`` loosens on the way; without a teacher there is none. From anywhere on the straight line between
    noise and the clip that one step makes of it, the rest leads to the same clip (reflow: Liu et al., "Flow Straight
    and Fast", 2022), so that warm starts and further steps stay true.
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
            taught = teacher.encoder(batch.history, batch.motion).repeat_interleave(STUDENT_FUTURES, dim=0)
            goal = teacher.in_steps(noise, taught, maneuver, TEACHER_STEPS)
        from_noise = (imagined - goal).square().mean()
    one, end = noise[::STUDENT_FUTURES], imagined[::STUDENT_FUTURES].detach()
    s = level[:, None, None, None]
    velocity = networks.denoiser((1.0 - s) * end + s * one, context, batch.maneuver, level)
    on_the_way = (velocity - (one - end)).square().mean()
    logits = networks.decoder.logits(imagined, repeated).unflatten(0, (count, STUDENT_FUTURES))
    energy, brier = (score.mean() for score in losses.ensemble_loss(logits, batch))
    parts = {"from_noise": from_noise, "on_the_way": on_the_way, "energy": energy, "brier": brier}
    loss = hold * from_noise + on_the_way + ENERGY_WEIGHT * energy + BRIER_WEIGHT * brier
    return loss, {name: part.item() for name, part in parts.items()}


def deterministic_loss(
    networks: WorldNetworks, batch: Batch, random: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Forecast without noise: the same networks as a plain regression, to compare with. ``random`` is not used."""
    context = networks.encoder(batch.history, batch.motion)
    nothing = torch.zeros(len(context), *LATENT.shape[1:], device=context.device)
    forecast = losses.forecast_loss(networks.in_one_step(nothing, context, batch.maneuver), batch).mean()
    return FORECAST_WEIGHT * forecast, {"forecast": forecast.item()}


def observed_context(batch: Batch) -> Tensor:
    """Return a context whose learned channels are zero: all that the decoder reads, (B, 208, 16, 16)."""
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
    """Return how well moving cells survive the latent: their recall and IoU at 0.5 on the first clips."""
    batch = take(clips, torch.arange(min(count, len(clips))).numpy()).to(device)
    mean, _ = networks.posterior(batch.future, batch.observed)
    logits = networks.decoder.logits(mean / networks.decoder.latent_scale, observed_context(batch))
    near = losses.grow(torch.maximum(batch.moving, batch.present_moving), 1) * batch.known
    guess, truth = (logits > 0).float() * near, batch.future * near
    both, either = (guess * truth).sum(), torch.maximum(guess, truth).sum()
    recall = (guess * batch.moving).sum() / batch.moving.sum().clamp(min=1)
    return {"iou_near_moving": float(both / either.clamp(min=1)), "recall_moving": float(recall)}
