"""Two or more methods on one data set: their scores, costs and mistakes.

`methods` reads the configurations, `training` trains each for the same time, `measure` measures one
method in a process of its own, `errors` sorts mistakes into kinds, `images` chooses and draws
images, `report` makes tables of all methods, `pages` writes them as Markdown and HTML.
"""
