"""Two or more methods on one data set: what they score, what they cost, where they go wrong.

`training` trains each for the same time, `measure` takes the figures of one method in a process of
its own, `errors` sorts mistakes into kinds, `report` puts the figures of all side by side, `pages`
writes them as Markdown and HTML.
"""
