"""What the arena writes: statistics, charts, replays of failures, the report."""
