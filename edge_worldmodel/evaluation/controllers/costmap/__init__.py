"""What the baseline controllers know of the scene: costmap, clusters, guidance."""
