"""MuJoCo robots, worlds and crowds, without ROS."""
