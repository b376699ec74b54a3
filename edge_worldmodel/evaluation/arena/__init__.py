"""The arena: closed-loop episodes of many planners on the same worlds, with statistics and a report."""
