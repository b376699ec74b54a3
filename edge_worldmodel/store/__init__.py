"""Model manifests and their verification."""
