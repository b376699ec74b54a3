"""The arena: many planners drive the same simulated episodes, with statistics and a report."""
