"""Results of the arena: statistics, charts, replays of failures, the report."""
