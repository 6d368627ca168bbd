"""The endurance of the gateway: by ``tox -e soak``, a process each for gateway, origin, load and what measures."""
