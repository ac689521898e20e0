"""Networks as files that run without Paddle, and what runs them."""
