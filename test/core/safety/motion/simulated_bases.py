"""Sound drive bases of many kinds, and how often the motion monitor trips on them.

``python test/core/safety/motion/simulated_bases.py HOURS SEED`` drives bases for so long in all. Each base draws its
lag (a delay and a filter of first or second order, together at most the reaction time), decelerations from those
configured less the slip upwards, slip of its speed, noise and rate of its odometry, and bumps. Its driver changes his
mind every few seconds and stops hard once a minute.
"""

from __future__ import annotations

import sys

import numpy as np

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.motion.braking import Brakes
from edge_worldmodel.core.safety.motion.motion_monitor import MotionMonitor

TICK_S, TICK_NS = 0.02, 20_000_000
CONFIG = SupervisorConfig()


def drive(bases: int, duration_s: float, seed: int, config: SupervisorConfig = CONFIG) -> tuple[np.ndarray, np.ndarray]:
    """Return commands and measured twists, (t, bases, 3) each, of that many bases at the same time."""
    rng, ticks = np.random.default_rng(seed), round(duration_s / TICK_S)
    lower = np.array([-config.max_reverse_mps, 0.0, -config.max_yaw_rate_radps])
    upper = np.array([config.max_forward_mps, 0.0, config.max_yaw_rate_radps])
    change = np.array([config.max_acceleration_mps2] * 2 + [config.max_yaw_acceleration_radps2]) * TICK_S
    column = (bases, 1)
    lag_s = rng.uniform(0.2, 1.0, column) * config.reaction_time_s
    delay = np.round(rng.uniform(0.0, 1.0, column) * lag_s / TICK_S).astype(int)[:, 0]
    filter_s = np.maximum(lag_s - TICK_S * delay[:, None], 1e-3)
    second, damping = rng.random(column) < 0.5, rng.uniform(0.6, 1.2, column)
    frequency = np.minimum(2.0 * damping / filter_s, 0.7 / TICK_S)
    braking = np.array([config.braking_deceleration_mps2] * 2 + [config.braking_yaw_deceleration_radps2]) * TICK_S
    braking = braking * rng.uniform(1.0 - config.slip, 2.5, column)
    speeding = braking * rng.uniform(0.4, 1.0, column)
    most_slip, noise = rng.uniform(0.0, config.slip, column), rng.uniform(0.2, 1.0, column) * (0.03, 0.01, 0.06)
    every = rng.choice([1, 2], bases)
    pending = np.zeros((delay.max() + 1, bases, 3))
    wanted, command = np.zeros((bases, 3)), np.zeros((bases, 3))
    actual, rate, slip = np.zeros((bases, 3)), np.zeros((bases, 3)), np.zeros(column)
    bump, reading = np.zeros((bases, 3)), np.zeros((bases, 3))
    commands, measured = np.zeros((ticks, bases, 3)), np.zeros((ticks, bases, 3))
    for tick in range(ticks):
        changes = rng.random(bases) < 0.01
        wanted[changes] = rng.uniform(lower, upper, (changes.sum(), 3)) * rng.integers(0, 2, (changes.sum(), 1))
        command = command + np.clip(wanted - command, -change, change)
        stops = rng.random(bases) < TICK_S / 60.0
        command[stops], wanted[stops] = 0.0, 0.0
        pending[tick % len(pending)] = command
        asked = pending[(tick - delay) % len(pending), np.arange(bases)]
        push = frequency * frequency * (asked - actual) - 2.0 * damping * frequency * rate
        rate = np.where(second, rate + TICK_S * push, (asked - actual) * np.minimum(1.0 / filter_s, 1.0 / TICK_S))
        slows = rate * actual < 0.0
        step = np.clip(TICK_S * rate, -np.where(slows, braking, speeding), np.where(slows, braking, speeding))
        rate, actual = step / TICK_S, actual + step
        slip = slip + 0.03 * (rng.uniform(-1.0, 1.0, column) * most_slip - slip)
        bumps = rng.random(bases) < TICK_S / 10.0
        bump[bumps] += rng.normal(size=(bumps.sum(), 3)) * (0.15, 0.0, 0.4) * (np.abs(actual[bumps, :1]) + 0.1)
        bump *= 0.7
        fresh = tick % every == 0
        seen = actual * (1.0 + slip) + bump + rng.normal(size=(bases, 3)) * noise * (0.3 + np.abs(actual[:, :1]))
        reading[fresh] = seen[fresh]
        commands[tick], measured[tick] = command, reading
    return commands, measured


def trips(commands: np.ndarray, measured: np.ndarray, config: SupervisorConfig = CONFIG) -> list[tuple[int, str]]:
    """Return the tick and text of each trip of the monitor on one base, (t, 3) each."""
    monitor, brakes, found = MotionMonitor(config), Brakes.from_config(config), []
    stamp_ns = last_ns = 0
    for tick in range(1, len(commands)):
        now_ns = (tick + 1) * TICK_NS
        monitor.note_command(commands[tick - 1], now_ns)
        if (measured[tick] != measured[tick - 1]).any() or not measured[tick].any():
            stamp_ns = now_ns
        fault = monitor.fault(measured[tick], stamp_ns, (now_ns - stamp_ns) * 1e-9, now_ns, brakes)
        if fault is not None and now_ns > last_ns + 1_000_000_000:
            last_ns = now_ns
            found.append((tick, fault.text))
    return found


def main() -> None:
    """Drive as many bases as are needed for the hours, three minutes each."""
    hours, seed = float(sys.argv[1]), int(sys.argv[2])
    bases, count = round(hours * 20.0), 0
    commands, measured = drive(bases, 180.0, seed)
    for base in range(bases):
        for tick, text in trips(commands[:, base], measured[:, base]):
            print(f"base {base} at {tick * TICK_S:.2f} s: {text}", flush=True)
            count += 1
    print(f"{count} trips in {hours:g} h, {bases} bases, seed {seed}")


if __name__ == "__main__":
    main()
