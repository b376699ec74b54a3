"""The MuJoCo simulator as a node; not needed on a robot."""
