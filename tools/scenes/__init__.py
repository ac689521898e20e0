"""Street scenes made by a program, labelled as Cityscapes labels its pictures.

`camera` and `weather` say how a point in the world looks, `painting` turns painted faces into
polygons and pixels, `vehicles`, `people`, `furniture` and `street` know the shapes of things,
`traffic` places them, `scene` puts one picture together and `files` writes it in Cityscapes' layout.
"""
