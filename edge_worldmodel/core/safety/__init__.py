"""Pure logic of the safety supervisor: checks every input and every command, and stops the robot otherwise."""
