"""Street scenes made by a program, labeled as Cityscapes labels its images.

`camera` and `weather` say how a point in the world looks, `painting` turns painted faces into
polygons and pixels. `street`, `fronts`, `furniture`, `vehicles` and `people` know the shapes of
things; `traffic` places them, `order` says who stands before whom. `scene` puts one image
together, `drive` makes it a sequence, and `files` writes both in Cityscapes' layout.

`warehouse` is another world, painted by the same means: `goods` knows what stands in it, and
`own_files` writes its scenes as one's own data.
"""
