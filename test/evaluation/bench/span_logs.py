"""Makes the records that four nodes leave of frames whose times are known."""

from __future__ import annotations

from edge_worldmodel.evaluation.bench.span_log import Mark, NodeLog, Span

MS = 1_000_000
MAIN, WORKER = 11, 12


def logs_of(begins_ms: list[float], reused: tuple[int, ...] = ()) -> dict[str, NodeLog]:
    """Return records of frames that begin at these times; those named in ``reused`` are answered without imagining.

    Each takes: 1 ms to perception, 2 ms before and 3 ms in the encoder, 1 ms to the planner, 4 ms until it thinks,
    5 ms of proposing, 6 ms denoising, 1 ms between, 7 ms decoding, 2 ms of scoring, 3 ms to the supervisor's tick,
    in which 1 ms passes until the command.
    """
    spans: dict[str, list[Span]] = {name: [] for name in ("sim", "perception", "rollout_planner", "safety_supervisor")}
    marks: dict[str, list[Mark]] = {name: [] for name in spans}

    def span(node: str, name: str, thread: int, begin_ms: float, end_ms: float) -> None:
        spans[node].append(Span(name, thread, round(begin_ms * MS), round(end_ms * MS)))

    def mark(node: str, name: str, thread: int, at_ms: float, stamp: int) -> None:
        marks[node].append(Mark(name, thread, round(at_ms * MS), stamp))

    for stamp, t in enumerate(begins_ms):
        span("sim", "publish_scans", MAIN, t - 0.5, t + 0.5)
        mark("sim", "scan", MAIN, t, stamp)
        span("perception", "on_scan", MAIN, t + 1, t + 6.5)
        span("perception", "encoder", MAIN, t + 3, t + 6)
        mark("perception", "latent", MAIN, t + 6, stamp)
        span("rollout_planner", "on_frame", MAIN, t + 7, t + 8)
        mark("rollout_planner", "frame", MAIN, t + 7, stamp)
        span("rollout_planner", "plan_on", WORKER, t + 11, t + 33)
        if stamp not in reused:
            span("rollout_planner", "denoiser", WORKER, t + 16, t + 22)
            span("rollout_planner", "decoder", WORKER, t + 23, t + 30)
        mark("rollout_planner", "plan", WORKER, t + 32, stamp)
        span("safety_supervisor", "tick", MAIN, t + 35, t + 37)
        mark("safety_supervisor", "plan", MAIN, t + 35.5, stamp)
        mark("safety_supervisor", "command", MAIN, t + 36, stamp)
    names = {MAIN: "MainThread", WORKER: "worker"}
    return {
        node: NodeLog(
            node, 100 + number, 0, names, tuple(sorted(spans[node], key=lambda s: s.begin_ns)), tuple(marks[node])
        )
        for number, node in enumerate(spans)
    }
