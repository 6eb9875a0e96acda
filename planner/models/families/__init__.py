"""One small function a family: how its config.json's keys become layers."""
