"""Open-loop and closed-loop evaluation and reports. Offline."""
