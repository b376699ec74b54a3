"""The node that shows the verdict in rviz."""
