"""The ROS 2 nodes: convert, one core call, publish. The only package that imports rclpy."""
