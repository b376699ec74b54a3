"""Latent cache node: answers each LatentFrame with a WarmStart and keeps the solutions of the planner."""

from __future__ import annotations

import os
import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import Trigger

import edge_worldmodel.msg as msg
from edge_worldmodel.core.cache.latent_cache import LatentCache, LatentCacheConfig, window
from edge_worldmodel.core.errors import SceneStoreError
from edge_worldmodel.nodes.latent_cache.scene_store import SceneStore, default_folder
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig
from edge_worldmodel.nodes.ros.convert import latent_frame_from_msg, warm_start_to_msg
from edge_worldmodel.nodes.ros.health import guarded
from edge_worldmodel.nodes.ros.managed_node import ManagedNode, run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.qos import LATEST

_REPORT_PERIOD_S = 0.5
_LEFT_OUT = "the solution is not newer than the last one, or its frame is unknown or from before a jump"


class LatentCacheNode(ManagedNode):
    """Takes latent frames and solutions, publishes warm starts; solved scenes are also kept on disk."""

    def __init__(self) -> None:
        super().__init__("latent_cache")
        self._config = declare(self, LatentCacheConfig)
        self._store_config = declare(self, SceneStoreConfig)
        self._store: SceneStore | None = None

    def setup(self) -> None:
        """Open the cache and its topics."""
        self._store = self._open_store()
        if self._store is not None:
            self.on_teardown(self._store.close)  # scenes that wait for the disk are written
        self._cache = LatentCache(self._config, self._store)
        self._publisher = self.open_publisher(msg.WarmStart, "latent_cache/warm_start", LATEST)
        self.open_subscription(msg.LatentFrame, "perception/latent", self._on_frame, LATEST)
        self.open_subscription(msg.LatentFrame, "planner/solution", self._on_solution, LATEST)
        self.open_service(Trigger, "latent_cache/delete_all", self._on_delete_all)
        self.open_timer(_REPORT_PERIOD_S, self._report)

    def _open_store(self) -> SceneStore | None:
        """Return the store on disk; None, with the reason in /diagnostics, when scenes are kept in memory only."""
        config = self._store_config
        self.health.figures["store"] = "memory"
        if config.store == "memory":
            return None
        try:
            # imported here, as the cache works without these packages
            from edge_worldmodel.nodes.latent_cache.scene_disk import SceneDisk
        except ImportError as error:
            text = f"scenes are kept in memory only: {error} (pip install apsw sqlite-vec, or set store: memory)"
            self.health.problem("store", text, DiagnosticStatus.WARN)
            return None
        folder = Path(config.store_dir) if config.store_dir else default_folder(self.get_namespace(), os.environ)
        self.get_logger().info(f"scenes are kept in '{folder}'")
        return SceneStore(window(self._config), SceneDisk(folder.expanduser(), config), config)

    @guarded
    def _on_frame(self, message: msg.LatentFrame) -> None:
        if not self.listens():
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
        if self.listens() and not self._cache.remember(latent_frame_from_msg(message)):
            self.health.note("solution_left_out", _LEFT_OUT)

    def _on_delete_all(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = self._cache.delete_all()
            response.success = True
        except SceneStoreError as error:
            response.message = f"not everything could be deleted: {error}"
        self.get_logger().warning(f"delete_all: {response.message}")
        return response

    @guarded
    def _report(self) -> None:
        """Show the state of the store in the log and in /diagnostics."""
        store = self._store
        if store is None:
            return
        problem = store.problem
        for note in store.take_notes():
            if note != problem:
                self.get_logger().warning(note)
        if problem:
            self.health.problem("store", problem, DiagnosticStatus.WARN)
        else:
            self.health.solved("store")
        self.health.figures.update(store.figures)


def main() -> None:
    """Run the node."""
    run(LatentCacheNode)
