"""One score term per module, each ``score(scene) -> (M,)``: a cost per maneuver, lower is better."""
