"""Latent cache node: answers each LatentFrame with a WarmStart, remembers what the planner solved."""

from __future__ import annotations

import time

import edge_worldmodel.msg as msg
from edge_worldmodel.core.latent_cache import LatentCache, LatentCacheConfig
from edge_worldmodel.nodes.convert import latent_frame_from_msg, warm_start_to_msg
from edge_worldmodel.nodes.health import guarded
from edge_worldmodel.nodes.managed_node import ManagedNode, run
from edge_worldmodel.nodes.parameters import declare
from edge_worldmodel.nodes.qos import LATEST


class LatentCacheNode(ManagedNode):
    """LatentFrame and solutions in, WarmStart out."""

    def __init__(self) -> None:
        super().__init__("latent_cache")
        self._config = declare(self, LatentCacheConfig)

    def setup(self) -> None:
        """Open the cache and connect it."""
        self._cache = LatentCache(self._config)
        self._publisher = self.create_publisher(msg.WarmStart, "latent_cache/warm_start", LATEST)
        self._inputs = [
            self.create_subscription(msg.LatentFrame, "perception/latent", self._on_frame, LATEST),
            self.create_subscription(msg.LatentFrame, "planner/solution", self._on_solution, LATEST),
        ]

    def teardown(self) -> None:
        """Disconnect."""
        for subscription in self.__dict__.pop("_inputs", []):
            self.destroy_subscription(subscription)

    @guarded
    def _on_frame(self, message: msg.LatentFrame) -> None:
        if not self.active:
            return
        begin_s = time.perf_counter()
        warm_start = self._cache.warm_start(latent_frame_from_msg(message))
        self._publisher.publish(warm_start_to_msg(warm_start, message.header.frame_id))
        self.health.figures.update(
            hit_rate=self._cache.hit_rate,
            last_answer=warm_start.reason,
            last_answer_s=time.perf_counter() - begin_s,
            remembered=len(self._cache),
        )

    @guarded
    def _on_solution(self, message: msg.LatentFrame) -> None:
        if self.active:
            self._cache.remember(latent_frame_from_msg(message))


def main() -> None:
    """Run the node."""
    run(LatentCacheNode)
