// A result as a file: the segment ids in COCO's panoptic form, id = R + 256 G + 65536 B.

export async function saveIds({ ids, width, height, name }) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(colorsOf(ids), width, height), 0, 0);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await canvas.convertToBlob({ type: "image/png" }));
  link.download = `${name.replace(/\.[^.]*$/, "")}_ids.png`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function colorsOf(ids) {
  const colors = new Uint8ClampedArray(ids.length * 4);
  ids.forEach((id, i) => {
    colors.set([id & 255, (id >> 8) & 255, id >> 16, 255], i * 4);
  });
  return colors;
}
