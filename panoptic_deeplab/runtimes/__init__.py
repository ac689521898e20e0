"""The network in other runtimes than Paddle: traced, converted, compared, opened, kept."""
