"""The endurance of the gateway, ``tox -e soak``: gateway, origin, load and probe are a process each."""
