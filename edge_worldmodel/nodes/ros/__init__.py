"""ROS helpers that several nodes share."""
