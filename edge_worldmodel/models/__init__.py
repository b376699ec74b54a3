"""What this device is, what of the shipped models it can run in time, and what a person should mend."""
