"""Pure logic: standard library, numpy, OpenCV and transforms3d; no ROS, no network runtime."""
