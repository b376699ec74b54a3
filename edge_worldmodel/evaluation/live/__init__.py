"""The running ROS graph: demo, replay, reports."""
