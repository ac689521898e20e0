"""The page on which a model predicts images, in the browser or by a server."""
